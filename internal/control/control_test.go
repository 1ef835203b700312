package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"bottle.internal/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func frame(json string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(json)))) + json
}

// pair is a host and an init that talk through pipes.
func pair(t *testing.T) (*Host, *Init) {
	t.Helper()
	fromHost, toInit := io.Pipe()
	fromInit, toHost := io.Pipe()
	host := NewHost(toInit, fromInit)
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		_ = toHost.Close()
	})
	return host, NewInit(fromHost, toHost)
}

func TestConversation(t *testing.T) {
	t.Parallel()
	host, init := pair(t)
	sent := Bootstrap{
		Daemons: []string{"firewall"},
		Inputs:  map[string]Inputs{"egress": {"TOKEN": secret.New("s3cret\x00binary")}},
	}
	go func() {
		_ = host.Bootstrap(t.Context(), sent)
		_ = host.Deliver(t.Context(), Deliver{"egress", Inputs{"TOKEN": secret.New("0ther")}})
		_ = host.Shutdown(t.Context())
	}()
	message, err := init.Next()
	got, ok := message.(Bootstrap)
	if err != nil || !ok {
		t.Fatalf("Next = %T, %v", message, err)
	}
	if got.Inputs["egress"]["TOKEN"].Reveal() != "s3cret\x00binary" || !cmp.Equal(got.Daemons, sent.Daemons) {
		t.Errorf("init got %+v", got)
	}
	if printed := fmt.Sprintf("%+v %#v", got, sent); strings.Contains(printed, "s3cret") {
		t.Errorf("a bootstrap prints its secrets: %s", printed)
	}
	message, err = init.Next()
	if deliver, ok := message.(Deliver); err != nil || !ok || deliver.Daemon != "egress" || deliver.Inputs["TOKEN"].Reveal() != "0ther" {
		t.Errorf("Next = %#v, %v", message, err)
	}
	if message, err := init.Next(); message != (Shutdown{}) || err != nil {
		t.Errorf("Next = %#v, %v", message, err)
	}

	event := Event{Daemon: "firewall", What: Died, Detail: "exit\x1b[31m status 7"}
	if err := errors.Join(init.Event(event), init.Ready(), init.Ready()); err != nil {
		t.Fatal(err)
	}
	if err := host.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-host.Events(); got != (Event{"firewall", Died, "exit\ufffd[31m status 7"}) {
		t.Errorf("event %+v", got)
	}
}

// The list of daemons has three meanings: absent, none, and some.
func TestDaemonsAbsentOrEmpty(t *testing.T) {
	t.Parallel()
	for _, daemons := range [][]string{nil, {}, {"firewall"}} {
		var wire bytes.Buffer
		if err := writeFrame(&wire, typeBootstrap, Bootstrap{Daemons: daemons}.wire()); err != nil {
			t.Fatal(err)
		}
		message, err := NewInit(&wire, io.Discard).Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := message.(Bootstrap).Daemons; (got == nil) != (daemons == nil) || !cmp.Equal(got, daemons) {
			t.Errorf("%#v arrived as %#v", daemons, got)
		}
	}
}

func TestHostRefusesABadBootstrap(t *testing.T) {
	t.Parallel()
	host, _ := pair(t)
	full := map[string]Inputs{}
	for i := range 8 {
		full[string(rune('a'+i))] = Inputs{"x": secret.New(strings.Repeat("y", MaxInputs-1))}
	}
	for _, test := range []struct {
		b    Bootstrap
		want string
	}{
		{Bootstrap{Inputs: full}, "sending bootstrap: 5592575 bytes, a frame holds 4194304"},
		{Bootstrap{Daemons: []string{"../x"}}, `sending bootstrap: control protocol violated: daemons[0]: "../x" is no name of a daemon`},
		{Bootstrap{Daemons: []string{"a", "a"}}, `sending bootstrap: control protocol violated: daemons[1]: "a" is there twice`},
		{
			Bootstrap{Inputs: map[string]Inputs{"A": nil}},
			`sending bootstrap: control protocol violated: inputs: "A" is no name of a daemon`,
		},
		{
			Bootstrap{Inputs: map[string]Inputs{"a": {"x": secret.New(strings.Repeat("y", MaxInputs))}}},
			"sending bootstrap: control protocol violated: inputs.a: 524289 bytes, a daemon gets at most 524288",
		},
		{
			Bootstrap{Inputs: map[string]Inputs{"a": {"": secret.New("x")}}},
			"sending bootstrap: control protocol violated: inputs.a: an input without a name",
		},
	} {
		if err := host.Bootstrap(t.Context(), test.b); fmt.Sprint(err) != test.want {
			t.Errorf("Bootstrap = %v, want %s", err, test.want)
		}
	}
}

func TestInitIsStrict(t *testing.T) {
	t.Parallel()
	const violated = "control protocol violated: "
	for _, test := range []struct{ name, said, want string }{
		{"end", "", "EOF"},
		{"half a length", "\x00\x00", violated + "torn frame"},
		{"half a frame", frame(`{"type":"shutdown","body":{}}`)[:9], violated + "torn frame"},
		{"empty frame", "\x00\x00\x00\x00", violated + "frame of 0 bytes, 1 to 4194304 are allowed"},
		{"oversize", "\x00\x40\x00\x01", violated + "frame of 4194305 bytes, 1 to 4194304 are allowed"},
		{"http", "GET / HTTP/1.1\r\n\r\n", violated + "frame of 1195725856 bytes, 1 to 4194304 are allowed"},
		{"no json", frame("nonsense"), violated + "invalid character 'o' in literal null (expecting 'u')"},
		{"two values", frame(`{"type":"shutdown","body":{}} {}`), violated + "something follows the message"},
		{"unknown field", frame(`{"type":"shutdown","body":{},"x":1}`), violated + `json: unknown field "x"`},
		{"unknown type", frame(`{"type":"exec","body":{}}`), violated + `unknown type "exec"`},
		{"init's own type", frame(`{"type":"ready","body":{}}`), violated + `unknown type "ready"`},
		{"no body", frame(`{"type":"shutdown"}`), violated + "shutdown without a body"},
		{"null body", frame(`{"type":"shutdown","body":null}`), violated + "shutdown without a body"},
		{"unknown field in the body", frame(`{"type":"shutdown","body":{"all":true}}`), violated + `json: unknown field "all"`},
		{
			"input no base64", frame(`{"type":"bootstrap","body":{"inputs":{"a":{"T":"hunter2!"}}}}`),
			violated + `inputs."T": illegal base64 data at input byte 7`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := NewInit(strings.NewReader(test.said), io.Discard).Next(); fmt.Sprint(err) != test.want {
				t.Errorf("Next = %v, want %s", err, test.want)
			}
		})
	}
}

func TestHostIsStrict(t *testing.T) {
	t.Parallel()
	const ended = "waiting for the bundle: the bundle's init ended"
	for _, test := range []struct{ name, said, want string }{
		{"end", "", ended},
		{"ready", frame(`{"type":"ready","body":{}}`), "<nil>"},
		{"ready, then garbage", frame(`{"type":"ready","body":{}}`) + "garbage!", "<nil>"},
		{"text instead of frames", "panic: no memory\n", ended + ": control protocol violated: frame of 1885433449 bytes, 1 to 4194304 are allowed"},
		{"host's own type", frame(`{"type":"bootstrap","body":{}}`), ended + `: control protocol violated: unknown type "bootstrap"`},
		{"refused", frame(`{"type":"refused","body":{"text":"unknown daemon\u001b[2J"}}`), ended + ": the bundle's init refused: unknown daemon\ufffd[2J"},
		{"event of nobody", frame(`{"type":"event","body":{"daemon":"","what":"start","detail":""}}`), ended + `: control protocol violated: event "start" of ""`},
		{"unknown event", frame(`{"type":"event","body":{"daemon":"a","what":"allow","detail":""}}`), ended + `: control protocol violated: event "allow" of "a"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, out := io.Pipe()
			host := NewHost(out, io.NopCloser(strings.NewReader(test.said)))
			if err := host.WaitReady(t.Context()); fmt.Sprint(err) != test.want {
				t.Errorf("WaitReady = %v, want %s", err, test.want)
			}
			<-host.Ended()
			if err := host.Shutdown(t.Context()); !errors.Is(err, ErrEnded) {
				t.Errorf("Shutdown after the end = %v", err)
			}
			_ = host.Close()
		})
	}
}

func TestSendAndWaitGiveUpWithTheContext(t *testing.T) {
	t.Parallel()
	host, _ := pair(t) // nobody reads
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if err := host.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v", err)
	}
	if err := host.WaitReady(ctx); fmt.Sprint(err) != "waiting for the bundle: context canceled" {
		t.Errorf("WaitReady = %v", err)
	}
}

// Nobody reading the events must not stop ready from being seen.
func TestAnUnreadEventBlocksNothing(t *testing.T) {
	t.Parallel()
	host, init := pair(t)
	for range 2 * maxEvents {
		if err := init.Event(Event{Daemon: "firewall", What: Started}); err != nil {
			t.Fatal(err)
		}
	}
	if err := init.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := host.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatInitSaysIsSmall(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	init := NewInit(nil, &out)
	if err := init.Event(Event{Daemon: strings.Repeat("d", 32), What: Restarting, Detail: strings.Repeat("<\x00", 100_000)}); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 4096 {
		t.Errorf("an event takes %d bytes: more than PIPE_BUF may be torn", out.Len())
	}
}

func FuzzInitNext(f *testing.F) {
	f.Add([]byte(frame(`{"type":"bootstrap","body":{"daemons":["firewall"],"inputs":{"egress":{"T":"eA=="}}}}`)))
	f.Add([]byte(frame(`{"type":"shutdown","body":{}}`) + frame(`{"type":"shutdown","body":{}}`)))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, said []byte) {
		init := NewInit(bytes.NewReader(said), io.Discard)
		for {
			message, err := init.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrProtocol) {
					t.Fatalf("an unclassified error: %v", err)
				}
				return
			}
			if b, ok := message.(Bootstrap); ok && b.check() != nil {
				t.Fatalf("accepted %+v", b)
			}
		}
	})
}

func FuzzHostRead(f *testing.F) {
	f.Add([]byte(frame(`{"type":"event","body":{"daemon":"firewall","what":"death","detail":"exit status 1"}}`)))
	f.Add([]byte(frame(`{"type":"ready","body":{}}`)))
	f.Add([]byte(frame(`{"type":"refused","body":{"text":"no"}}`)))
	f.Fuzz(func(t *testing.T, said []byte) {
		_, out := io.Pipe()
		host := NewHost(out, io.NopCloser(bytes.NewReader(said)))
		for e := range host.Events() {
			if e.check() != nil || e.Detail != plain(e.Detail) {
				t.Fatalf("accepted %+q", e)
			}
		}
		if err := host.Err(); !errors.Is(err, ErrEnded) {
			t.Fatalf("Err = %v", err)
		}
		_ = host.Close()
	})
}
