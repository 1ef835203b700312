package proof_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/smolvm"
)

// asked is a running guest that is sent a program, and asked again.
func asked(answer func(stdin *bufio.Reader, nonce guestapi.Nonce) string) machine {
	return func(_ context.Context, o smolvm.ExecOptions) (int, error) {
		words := o.Command[4:] // size, probe, --nonce, nonce, port
		size, err := strconv.Atoi(words[0])
		if err != nil {
			return -1, err
		}
		program := make([]byte, size)
		if _, err := io.ReadFull(o.Stdin, program); err != nil || string(program) != "a fresh program" {
			return -1, fmt.Errorf("the program is %q, %w", program, err)
		}
		_, err = io.WriteString(o.Stdout, answer(bufio.NewReader(o.Stdin), nonceOf(o)))
		return 0, err
	}
}

// The guest gets a program that nobody there can have changed. Whatever it answers: the
// host survives it, and takes nothing for an answer but the answer.
func TestVerify(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(*bufio.Reader, guestapi.Nonce) string
		want   string
	}{
		"well": {func(stdin *bufio.Reader, nonce guestapi.Nonce) string {
			text, _ := proved(stdin, nonce, holds)
			return text
		}, "holds"},
		"nothing":         {func(*bufio.Reader, guestapi.Nonce) string { return "" }, "probing demo-aaaaa: the guest did not answer"},
		"a foreign nonce": {func(*bufio.Reader, guestapi.Nonce) string { return guestapi.Proved("0123456789abcdef") + "[]\n" }, "probing demo-aaaaa: the guest did not answer"},
		"no JSON": {
			func(_ *bufio.Reader, n guestapi.Nonce) string { return guestapi.Proved(n) + "\x1b[2J\n" },
			`probing demo-aaaaa: reading probes: invalid character '\x1b' looking for beginning of value`,
		},
		"a flood": {func(_ *bufio.Reader, n guestapi.Nonce) string {
			return guestapi.Proved(n) + strings.Repeat("x", 1<<20)
		}, "probing demo-aaaaa: reading probes: invalid character 'x' looking for beginning of value"},
		"no probe answered": {func(_ *bufio.Reader, n guestapi.Nonce) string { return guestapi.Proved(n) + "[]\n" }, `fails at "tcp`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targets, err := boundary.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer targets.Close()
			results, err := proof.Verification{
				Guest: guest(asked(test.answer)), Targets: targets, Program: []byte("a fresh program"),
				Subject: proof.Subject{
					Plan:  plan.Plan{Identity: "demo-aaaaa"},
					Reach: func(_ context.Context, list ...string) []error { return make([]error, len(list)) },
				},
			}.Verify(t.Context())
			got := "holds"
			if surprise := boundary.Surprise(results); surprise != nil {
				got, _, _ = strings.Cut(fmt.Sprintf("fails at %q", surprise.Probe), " 127.")
			}
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("Verify: %s, want %s", got, test.want)
			}
		})
	}
}
