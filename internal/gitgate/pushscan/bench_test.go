package pushscan

import (
	"crypto/rand"
	"strings"
	"testing"
)

func BenchmarkBlob(b *testing.B) {
	noise := make([]byte, 4<<20)
	_, _ = rand.Read(noise)
	for name, data := range map[string][]byte{
		"noise": noise,
		"text":  []byte(strings.Repeat("func f(a int) (key string, err error) { return token(a), nil }\n", 4<<20/63)),
	} {
		b.Run(name, func(b *testing.B) {
			scan, err := NewRules().NewScan(nil, 1<<30)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if found, err := scan.Blob(b.Context(), "x", data); found != nil || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
