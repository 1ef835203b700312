package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"bottle.internal/internal/secret"
)

// daemonPair is a daemon and init's end of its channel.
func daemonPair(t *testing.T) (*Daemon, *DaemonPeer) {
	t.Helper()
	ours, theirs := net.Pipe()
	daemon, peer := NewDaemon(theirs), NewDaemonPeer(ours)
	t.Cleanup(func() { _, _ = peer.Close(), daemon.Close() })
	return daemon, peer
}

func TestInputsOfADaemon(t *testing.T) {
	t.Parallel()
	daemon, peer := daemonPair(t)
	for _, text := range []string{"one", "two"} {
		if err := peer.Inputs(Inputs{"routes.json": secret.New(text)}); err != nil {
			t.Fatal(err)
		}
		if inputs, err := daemon.FirstInputs(t.Context()); err != nil || inputs["routes.json"].Reveal() != text {
			t.Errorf("inputs %v, %v", inputs, err)
		}
	}
	_ = peer.Close()
	if _, err := daemon.FirstInputs(t.Context()); fmt.Sprint(err) != "waiting for the inputs: the channel to init ended: EOF" {
		t.Error(err)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	daemon, peer := daemonPair(t)
	answers := []Answer{{Body: []byte(`{"token":"x"}`)}, {Error: "no such route"}, {Body: []byte(`{"more":1}`)}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for _, answer := range answers {
			q, err := peer.Next()
			if err != nil || q.Kind != "token" || string(q.Body) != `{"route":1}` || q.Daemon != "" {
				t.Errorf("question %+v, %v", q, err)
			}
			_ = peer.Answer(Answer{ID: q.ID + 100}) // to nobody
			answer.ID = q.ID
			_ = peer.Answer(answer)
		}
	}()
	ask := func() (string, error) {
		var answer struct{ Token string }
		err := daemon.Ask(t.Context(), "token", map[string]int{"route": 1}, &answer)
		return answer.Token, err
	}
	if token, err := ask(); token != "x" || err != nil {
		t.Errorf("first answer %q, %v", token, err)
	}
	_, err := ask()
	if refused := (*AnswerError)(nil); !errors.As(err, &refused) || err.Error() != "asking for token: no such route" {
		t.Errorf("second answer %v", err)
	}
	if _, err := ask(); fmt.Sprint(err) != `control protocol violated: json: unknown field "more"` {
		t.Errorf("third answer %v", err)
	}
	<-served
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = peer.Next(); cancel() }()
	if err := daemon.Ask(ctx, "token", struct{}{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
	_ = peer.Close()
	if err := daemon.Ask(t.Context(), "token", struct{}{}, nil); err == nil {
		t.Error("an answer from nobody")
	}
}

// A question that is too large is refused where it is made; init does not listen to a daemon
// that asks it all the same.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	daemon, peer := daemonPair(t)
	const want = "control protocol violated: a question of 262147 bytes, at most 262144 are allowed"
	large := strings.Repeat("x", MaxQuestion+1)
	if err := daemon.Ask(t.Context(), "token", large, nil); fmt.Sprint(err) != "asking for token: "+want {
		t.Errorf("Ask = %v", err)
	}
	sent := make(chan error)
	go func() { sent <- daemon.send(typeAsk, Question{ID: 1, Kind: "token", Body: []byte(`"` + large + `"`)}) }()
	if _, err := peer.Next(); fmt.Sprint(err) != want || !errors.Is(err, ErrProtocol) {
		t.Errorf("Next = %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// A daemon is what an agent talks to: init hears nothing from it but questions.
func FuzzDaemonPeerNext(f *testing.F) {
	f.Add([]byte(frame(`{"type":"ask","body":{"id":1,"kind":"token","body":{"route":0}}}`)))
	f.Add([]byte(frame(`{"type":"ask","body":{"daemon":"init","id":1,"kind":"../x","body":null}}`)))
	f.Add([]byte(frame(`{"type":"ready","body":{}}`)))
	f.Fuzz(func(t *testing.T, said []byte) {
		peer := NewDaemonPeer(struct {
			io.Reader
			io.Writer
			io.Closer
		}{bytes.NewReader(said), io.Discard, io.NopCloser(nil)})
		for {
			q, err := peer.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrProtocol) {
					t.Fatalf("an unclassified error: %v", err)
				}
				return
			}
			if q.Daemon != "" || q.check() != nil {
				t.Fatalf("accepted %+v", q)
			}
		}
	})
}
