package console

import (
	"bytes"

	"bottle.internal/internal/termsafe"
)

// historySize is how much of the agent's output a new viewer gets.
const historySize = 256 << 10

// history is the end of the agent's output, and the state that everything before it has
// left a terminal in.
type history struct {
	data    []byte
	tracker *termsafe.Tracker
}

func newHistory() *history { return &history{tracker: termsafe.NewTracker()} }

func (h *history) add(p []byte) {
	h.data = append(h.data, p...)
	if len(h.data) > 2*historySize {
		h.forget()
	}
}

// forget cuts at the border of a sequence, so that no half of one is shown.
func (h *history) forget() {
	cut := max(len(h.data)-historySize, 0)
	h.tracker.Feed(h.data[:cut])
	for ; cut < len(h.data) && !h.tracker.Whole(); cut++ {
		h.tracker.Feed(h.data[cut : cut+1])
	}
	h.data = append(h.data[:0], h.data[cut:]...)
}

// replay is what brings the terminal of a new viewer to where the others are. Questions to
// the terminal are left out: they were answered when they were asked.
func (h *history) replay() []byte {
	if len(h.data) > historySize {
		h.forget()
	}
	modes := h.tracker.Modes()
	if len(h.data) == 0 && modes == "" {
		return nil
	}
	var out bytes.Buffer
	out.WriteString("\x1b[0m\x1b[H\x1b[2J" + modes)
	filter := termsafe.NewQuiet(&out)
	_, _ = filter.Write(h.data) // memory takes everything
	return out.Bytes()
}
