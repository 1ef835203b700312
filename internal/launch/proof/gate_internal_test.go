package proof

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
)

// FuzzGate: whatever a guest says, in whatever pieces, the archive is given out only after
// the word of proof, at the very beginning, and a line of observations that the host likes.
func FuzzGate(f *testing.F) {
	const nonce = guestapi.Nonce("0123456789abcdef")
	word := guestapi.Proved(nonce)
	f.Add([]byte(word+`[{"name":"a"}]`+"\n"), uint8(1), true)
	f.Add([]byte(word+`[{"name":"a"}]`+"\n"), uint8(7), false)
	f.Add([]byte(word+"null\nmore"), uint8(200), true)
	f.Add([]byte(" "+word+"[]\n"), uint8(3), true)
	f.Add([]byte(word+"{\n"+word+"[]\n"), uint8(3), true)
	f.Fuzz(func(t *testing.T, said []byte, size uint8, liked bool) {
		judged, opened, refused := 0, 0, 0
		g := &gate{
			nonce: nonce, probes: bytes.NewReader(nil), archive: bytes.NewReader([]byte("archive")), errors: io.Discard,
			judge: func([]probe.Observation) error {
				judged++
				if !liked {
					return errors.New("a breach")
				}
				return nil
			},
			opened: func() { opened++ }, refused: func() { refused++ },
			proof: make(chan struct{}), end: make(chan struct{}),
		}
		out := g.stdout()
		for rest := said; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			if _, err := out.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		line, proved := bytes.CutPrefix(said, []byte(word))
		line, _, whole := bytes.Cut(line, []byte{'\n'})
		_, parseErr := probe.Parse[probe.Observation](line)
		if want := proved && whole && parseErr == nil && liked; g.isOpen() && !want || opened+refused > 1 || judged > 1 {
			t.Fatalf("open %v, opened %d, refused %d, judged %d", g.isOpen(), opened, refused, judged)
		}
		g.close()
		given, err := io.ReadAll(g)
		if err != nil || !g.isOpen() && len(given) > 0 {
			t.Fatalf("%q was given out, %v", given, err)
		}
	})
}
