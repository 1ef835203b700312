package timeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"bottle.internal/internal/audit"
)

// File says where records are and until when.
type File struct {
	Path string
	// Ended reports that nobody will write to it any more; nil: nobody does now.
	Ended func() bool
}

func (f File) reader(yield func(Item, error) bool) *file {
	ended := f.Ended
	if ended == nil {
		ended = func() bool { return true }
	}
	return &file{path: f.Path, ended: ended, idle: func() bool { return yield(Item{Idle: true}, nil) }}
}

// AuditLog is the records of an audit log as far as they are true, without those of the log
// itself. What is wrong with it is its error, an [*audit.BrokenError].
func AuditLog(f File, expect audit.Expect) Stream {
	return func(yield func(Item, error) bool) {
		reader := f.reader(yield)
		defer reader.close()
		expect.Follows = f.Ended != nil
		_, err := audit.Scan(reader, expect, func(line audit.Line) error {
			if line.Source == "audit" && line.Event != "full" {
				return nil
			}
			if !yield(Item{Record: recordOf(line)}, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Item{}, err)
		}
	}
}

// recordOf names the source as a person thinks of it: what the launch writes, and what the
// host writes about the bottle as a whole, is about the machine.
func recordOf(line audit.Line) Record {
	source := Source(line.Source)
	switch line.Source {
	case audit.Launch:
		source = VM
	case audit.Host:
		switch line.Event {
		case "running", "exit", "resumed", "stopped", "attached", "detached":
			source = VM
		}
	case "audit":
		source = Host
	}
	return Record{Time: line.Time, Source: source, Event: line.Event, Fields: line.Fields}
}

const (
	// maxAgentLine bounds a line of the agent's log; what is longer is no record.
	maxAgentLine = 256 << 10
	eventOutput  = "output"
)

// AgentLog is what the agent printed. A line that is no record is passed on as the text that
// it is, at the time of the line before it: it hides nothing.
func AgentLog(f File) Stream {
	return func(yield func(Item, error) bool) {
		reader := f.reader(yield)
		defer reader.close()
		lines := bufio.NewReaderSize(reader, maxAgentLine)
		var at time.Time
		for {
			text, err := lines.ReadSlice('\n')
			if len(text) > 0 {
				record := agentRecord(text, at)
				if at = record.Time; !yield(Item{Record: record}, nil) {
					return
				}
			}
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, errStopped):
				return
			case err != nil && !errors.Is(err, bufio.ErrBufferFull):
				yield(Item{}, fmt.Errorf("reading what the agent printed: %w", err))
				return
			}
		}
	}
}

func agentRecord(text []byte, before time.Time) Record {
	var line struct {
		Time time.Time `json:"time"`
		Text *string   `json:"text"`
	}
	if err := json.Unmarshal(text, &line); err != nil || line.Text == nil || line.Time.IsZero() {
		return Record{Time: before, Source: Agent, Event: "unreadable", Text: string(text)}
	}
	return Record{Time: line.Time.UTC(), Source: Agent, Event: eventOutput, Text: *line.Text}
}
