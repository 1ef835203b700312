package egress

import (
	"bytes"
	"testing"
)

// Whatever the pieces are, the same is found and the same is refused.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1}, uint8(1))
	f.Add([]byte{0x82, 0xfe, 0, 9, 0, 0, 0, 0, 'c', 'a', 'n', 'a', 'r', 'y', '-', '0', '1'}, uint8(3))
	f.Add([]byte{0x01, 0x84, 0, 0, 0, 0, 'c', 'a', 'n', 'a', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x85, 0, 0, 0, 0, 'r', 'y', '-', '0', '1'}, uint8(2))
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(4))
	f.Add([]byte{0x81, 5}, uint8(0))
	w := newWatch(Config{Canaries: []string{"canary-01"}})
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		whole := newFrames(w, &route{})
		want, wantErr := whole.feed(data)
		pieces := newFrames(w, &route{})
		var got []*sighting
		var gotErr error
		for rest := data; len(rest) > 0 && gotErr == nil; {
			n := min(len(rest), int(size)+1)
			var found []*sighting
			found, gotErr = pieces.feed(rest[:n])
			got = append(got, found...)
			rest = rest[n:]
		}
		if len(got) != len(want) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("at once %d finds, %v; in pieces %d, %v", len(want), wantErr, len(got), gotErr)
		}
		if len(data) > 6 && data[0] == 0x81 && data[1] == 0x80|byte(len(data)-6) && len(data) < 126 {
			plain := make([]byte, len(data)-6)
			for i := range plain {
				plain[i] = data[6+i] ^ data[2+i%4]
			}
			if bytes.Contains(plain, []byte("canary-01")) != (len(want) > 0) {
				t.Errorf("%q: %d finds", plain, len(want))
			}
		}
	})
}
