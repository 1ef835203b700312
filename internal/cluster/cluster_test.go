package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a host with the sockets of some daemons.
type world struct {
	*cluster.Host
	dir string

	mu  sync.Mutex
	log []string
}

func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "\n")
}

func host(t *testing.T, uid int, answer func(context.Context, control.Question) (any, error)) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	config := cluster.Config{
		Dir: w.dir, Answer: answer,
		Inputs: map[string]control.Inputs{"egress": inputs("first"), "firewall": inputs("another's")},
		Log: func(text string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.log = append(w.log, text)
		},
	}
	for _, name := range []string{"egress", "firewall"} {
		config.Daemons = append(config.Daemons, daemons.Daemon{Name: name, UID: uid})
		if err := os.Mkdir(filepath.Join(w.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.Host = cluster.NewHost(config)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

func inputs(text string) control.Inputs { return control.Inputs{"config": secret.New(text)} }

func (w *world) open(t *testing.T, daemon string) *control.Daemon {
	t.Helper()
	channel, err := cluster.Open(t.Context(), w.dir, daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = channel.Close() })
	return channel
}

func first(t *testing.T, channel *control.Daemon) string {
	t.Helper()
	got, err := channel.FirstInputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got["config"].Reveal()
}

func TestADaemonGetsItsOwnInputs(t *testing.T) {
	t.Parallel()
	w := host(t, os.Getuid(), nil)
	channel := w.open(t, "egress")
	if got := first(t, channel); got != "first" {
		t.Errorf("egress got %q", got)
	}
	if err := w.Deliver(t.Context(), "egress", inputs("second")); err != nil {
		t.Fatal(err)
	}
	if got := first(t, channel); got != "second" {
		t.Errorf("egress got %q", got)
	}
	_ = channel.Close()
	if err := w.Deliver(t.Context(), "egress", inputs("third")); err != nil && !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "broken pipe") {
		t.Fatal(err)
	}
	if got := first(t, w.open(t, "egress")); got != "third" {
		t.Errorf("one that came back got %q", got)
	}
	if err := w.Deliver(t.Context(), "gate", nil); err == nil {
		t.Error("there is no gate here")
	}
}

// Who asks is said by the socket, whatever the question says.
func TestQuestions(t *testing.T) {
	t.Parallel()
	w := host(t, os.Getuid(), func(_ context.Context, q control.Question) (any, error) {
		if q.Daemon != "firewall" {
			return nil, errors.New("not the firewall")
		}
		return map[string]string{"token": "x"}, nil
	})
	var answer struct{ Token string }
	if err := w.open(t, "firewall").Ask(t.Context(), "token", struct{}{}, &answer); err != nil || answer.Token != "x" {
		t.Errorf("the firewall was answered %+v, %v", answer, err)
	}
	err := w.open(t, "egress").Ask(t.Context(), "token", struct{}{}, &answer)
	if refused := (*control.AnswerError)(nil); !errors.As(err, &refused) || refused.Text != "not the firewall" {
		t.Errorf("egress was answered %v", err)
	}
}

// A container that found a neighbour's socket is still another user.
func TestAnotherUserGetsNothing(t *testing.T) {
	t.Parallel()
	w := host(t, os.Getuid()+1, nil)
	channel := w.open(t, "egress")
	if got, err := channel.FirstInputs(t.Context()); err == nil {
		t.Fatalf("another user got %v", got)
	}
	if want := "egress: somebody else than its user came by its socket"; w.said() != want {
		t.Errorf("log %q, want %q", w.said(), want)
	}
}

// A hanging question holds up neither the next ones nor the end.
func TestQuestionsEndWithTheDaemon(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	w := host(t, os.Getuid(), func(ctx context.Context, _ control.Question) (any, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	channel := w.open(t, "egress")
	ended := make(chan error, 1)
	go func() { ended <- channel.Ask(context.WithoutCancel(t.Context()), "token", struct{}{}, nil) }()
	<-asked
	_ = channel.Close()
	if err := <-ended; err == nil {
		t.Error("an answer from nobody")
	}
	if got := first(t, w.open(t, "egress")); got != "first" {
		t.Errorf("the next one got %q", got)
	}
}

func TestOpenWaitsForTheOverseer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := cluster.Open(ctx, t.TempDir(), "egress"); err == nil || !strings.HasPrefix(err.Error(), "looking for the overseer: ") {
		t.Errorf("Open = %v", err)
	}
}
