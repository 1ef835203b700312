//go:build linux

package initd

import (
	"maps"
	"slices"
	"sync"

	"bottle.internal/internal/control"
)

// maxOpen bounds the questions of one daemon's life that wait for an answer.
const maxOpen = 64

// asker is one life of a daemon, with its questions.
type asker struct {
	daemon string
	peer   *control.DaemonPeer
	open   int // until the daemon took the answer; guarded by the switchboard
}

// switchboard carries questions of daemons to the host and the answers back.
type switchboard struct {
	mu      sync.Mutex
	serial  uint64
	waiting map[uint64]waiting
}

type waiting struct {
	from *asker
	id   uint64 // the daemon's own
}

// put gives a question the number under which the host is asked; false when its daemon has
// too many open ones.
func (s *switchboard) put(from *asker, q control.Question) (control.Question, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.open >= maxOpen {
		return q, false
	}
	from.open++
	s.serial++
	s.waiting[s.serial] = waiting{from, q.ID}
	q.Daemon, q.ID = from.daemon, s.serial
	return q, true
}

// take finds who asked; an answer to nobody is dropped.
func (s *switchboard) take(id uint64) (waiting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to, ok := s.waiting[id]
	delete(s.waiting, id)
	return to, ok
}

// takeAll takes every question that is open.
func (s *switchboard) takeAll() []waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.waiting))
	clear(s.waiting)
	return all
}

// answer hands the daemon its answer, which lasts until it reads. Only then it may ask more:
// one that never reads does not fill our memory with answers.
func (s *switchboard) answer(to waiting, answer control.Answer) {
	answer.ID = to.id
	_ = to.from.peer.Answer(answer)
	s.mu.Lock()
	defer s.mu.Unlock()
	to.from.open--
}

// ask passes a daemon's question on to the host.
func (s *supervisor) ask(from *asker, q control.Question) {
	numbered, ok := s.asked.put(from, q)
	if !ok {
		_ = from.peer.Answer(control.Answer{ID: q.ID, Error: "too many questions are open"})
		return
	}
	if !s.tell(func() error { return s.control.Ask(numbered) }) {
		s.answer(control.Answer{ID: numbered.ID, Error: "the host does not listen"})
	}
}

// answer passes an answer on. A daemon that does not read holds up nobody else.
func (s *supervisor) answer(answer control.Answer) {
	if to, ok := s.asked.take(answer.ID); ok {
		s.tasks.Go(func() { s.asked.answer(to, answer) })
	}
}

// dropQuestions refuses what is open.
func (s *supervisor) dropQuestions() {
	for _, to := range s.asked.takeAll() {
		s.tasks.Go(func() { s.asked.answer(to, control.Answer{Error: "the host went away"}) })
	}
}
