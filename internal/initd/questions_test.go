//go:build linux

package initd

import (
	"net"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/secret"
)

// A daemon that asks and never reads cannot pile up answers: what it did not take is open.
func TestAnswersThatNobodyTakesAreOpenQuestions(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	s := &supervisor{asked: &switchboard{waiting: map[uint64]waiting{}}, queue: make(chan func() error, 1000)}
	from := &asker{daemon: "egress", peer: control.NewDaemonPeer(ours)}
	for id := range uint64(maxOpen) {
		if _, ok := s.asked.put(from, control.Question{ID: id}); !ok {
			t.Fatalf("question %d is refused", id)
		}
		s.answer(control.Answer{ID: id + 1, Body: []byte(`{}`)})
	}
	if _, ok := s.asked.put(from, control.Question{}); ok {
		t.Error("a question too many is taken")
	}
	daemon := control.NewDaemon(theirs) // now it reads
	s.tasks.Wait()
	if _, ok := s.asked.put(from, control.Question{}); !ok || from.open != 1 {
		t.Errorf("after it read, %d are open", from.open)
	}
	_ = daemon.Close()
}

// A daemon that hangs does not keep the others from hearing that the host is gone.
func TestDroppedQuestionsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := &supervisor{asked: &switchboard{waiting: map[uint64]waiting{}}, queue: make(chan func() error, 1000)}
	hanging, _ := net.Pipe()
	ours, theirs := net.Pipe()
	daemon := control.NewDaemon(theirs)
	said := make(chan error)
	go func() { said <- daemon.Ask(t.Context(), "token", struct{}{}, nil) }()
	peer := control.NewDaemonPeer(ours)
	q, err := peer.Next()
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint64(20) { // whichever comes first
		_, _ = s.asked.put(&asker{peer: control.NewDaemonPeer(hanging)}, control.Question{ID: id})
	}
	_, _ = s.asked.put(&asker{peer: peer}, q)
	s.dropQuestions()
	if err := <-said; err == nil || err.Error() != "asking for token: the host went away" {
		t.Errorf("Ask = %v", err)
	}
	_ = hanging.Close()
	s.tasks.Wait()
	_ = daemon.Close()
}

// A host that attaches anew knows nothing of what its predecessor was asked.
func TestANewHostDropsOldQuestions(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("egress", "ask", 0))
	b := control.Bootstrap{Inputs: map[string]control.Inputs{"egress": {"KEY": secret.New("one")}}}
	r.boot(b)
	<-r.host.Questions()
	if err := r.host.Bootstrap(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r.logged("egress| answer: map[] asking for token: the host went away")
}

// Ready is not lost in a flood of other news.
func TestReadyWaitsForItsPlace(t *testing.T) {
	t.Parallel()
	s := &supervisor{queue: make(chan func() error, 1)}
	s.emit(control.Event{})
	s.emit(control.Event{}) // dropped
	said := make(chan struct{})
	go func() { s.insist(t.Context(), func() error { close(said); return nil }) }()
	<-s.queue
	if err := (<-s.queue)(); err != nil {
		t.Error(err)
	}
	<-said
}
