// Package timeline puts what happened in a bottle into one order: its audit log and what
// its agent printed, as they are read or while they are written.
//
// Invariants: no file is ever held whole: of each there is one record in memory. What a
// file has is passed on in its own order; between files the earlier time goes first, and
// of the same time the file that was named first. Text of records is as it was found:
// [Record.Describe] is what a terminal may see.
package timeline

import (
	"encoding/json"
	"iter"
	"time"
)

// Source says who something comes from.
type Source string

// The sources. VM is what the host did with the machine and the bottle as a whole.
const (
	Agent     Source = "agent"
	Firewall  Source = "firewall"
	Egress    Source = "egress"
	GitGate   Source = "git-gate"
	Supervise Source = "supervise"
	VM        Source = "vm"
	Host      Source = "host"
	Init      Source = "init" // PID 1 of the bundle
	Echo      Source = "echo" // the demo's upstream
)

// Sources lists them all.
func Sources() []Source {
	return []Source{Agent, Firewall, Egress, GitGate, Supervise, VM, Host, Init, Echo}
}

// Record is something that happened.
type Record struct {
	Time   time.Time       `json:"time"`
	Source Source          `json:"source"`
	Event  string          `json:"event"`
	Text   string          `json:"text,omitempty"`   // of the agent
	Fields json.RawMessage `json:"fields,omitempty"` // of everybody else
}

// Item is what a stream yields: a record, or word that there is none right now. Who gets
// Idle may wait, and then asks again.
type Item struct {
	Record

	Idle bool
}

// Stream is one file's records in its order. An error ends it.
type Stream = iter.Seq2[Item, error]

// askAgain is after how many records a stream that had nothing is asked again, should the
// others never have nothing.
const askAgain = 256

// Merge puts streams into one order of time. A stream that has nothing right now holds no
// other one up; when none has anything, Merge yields Idle. An error of a stream is passed on
// and ends that stream alone.
func Merge(streams ...Stream) Stream {
	return func(yield func(Item, error) bool) {
		var m merger
		defer m.stop()
		for _, stream := range streams {
			next, stop := iter.Pull2(stream)
			m.heads = append(m.heads, head{next: next, stop: stop})
		}
		for {
			item, err, ok := m.next()
			if !ok || !yield(item, err) {
				return
			}
		}
	}
}

// merger has the next record of every stream.
type merger struct {
	heads  []head
	passed int // records since every stream was asked
}

func (m *merger) stop() {
	for _, h := range m.heads {
		h.stop()
	}
}

// next is the next thing to yield; not ok: every stream has ended.
func (m *merger) next() (item Item, err error, ok bool) { //nolint:revive // as iter.Pull2 has it
	for {
		everybody, open := m.passed%askAgain == 0, false
		for i := range m.heads {
			if err := m.heads[i].fill(everybody); err != nil {
				return Item{}, err, true
			}
			open = open || !m.heads[i].ended
		}
		first := m.first()
		switch {
		case first != nil:
			m.passed++
			first.full = false
			return Item{Record: first.record}, nil, true
		case !open:
			return Item{}, nil, false
		case everybody:
			m.passed = 0
			return Item{Idle: true}, nil, true
		}
		m.passed = 0 // somebody was not asked: now everybody is
	}
}

// first is the head with the earliest record; nil: none has any.
func (m *merger) first() *head {
	var first *head
	for i := range m.heads {
		if h := &m.heads[i]; h.full && (first == nil || h.record.Time.Before(first.record.Time)) {
			first = h
		}
	}
	return first
}

// head is the next record of a stream.
type head struct {
	next   func() (Item, error, bool)
	stop   func()
	record Record
	full   bool
	idle   bool
	ended  bool
}

// fill asks for the next record, once; of a stream that had nothing only if again is set.
// An error is returned once.
func (h *head) fill(again bool) error {
	if h.full || h.ended || h.idle && !again {
		return nil
	}
	item, err, ok := h.next()
	h.idle = item.Idle
	switch {
	case !ok:
		h.ended = true
	case err != nil:
		h.ended = true
		return err
	case !item.Idle:
		h.record, h.full = item.Record, true
	}
	return nil
}
