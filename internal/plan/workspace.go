package plan

import (
	"fmt"
	"strings"

	"bottle.internal/internal/bytesize"
)

// Workspace is a directory of the host that is copied into the machine.
type Workspace struct {
	Dir     string   `json:"dir"`     // on the host
	Include []string `json:"include"` // credentials by name that go in all the same
	History string   `json:"history"` // head or none
	CopyOut bool     `json:"copy_out"`

	// What was found there when the plan was made.
	Files    int                 `json:"files"`
	Bytes    int64               `json:"bytes"`
	Commits  string              `json:"commits,omitempty"` // whose commits go in, and how much it is
	Biggest  []string            `json:"biggest"`
	Excluded []WorkspaceExcluded `json:"excluded"`
	Notes    []string            `json:"notes"`
}

// WorkspaceExcluded are paths that stay on the host for one reason.
type WorkspaceExcluded struct {
	Why   string   `json:"why"`
	Count int      `json:"count"`
	Paths []string `json:"paths"` // the first ones
}

// workspaceTexts says what goes in, what does not, and what becomes of it.
func (p Plan) workspaceTexts() []string {
	w := p.Workspace
	if w == nil {
		return nil
	}
	excluded := 0
	for _, e := range w.Excluded {
		excluded += e.Count
	}
	texts := []string{fmt.Sprintf("%s -> %s, %d files, %s (%d excluded)", w.Dir, p.Workdir, w.Files, bytesize.Of(w.Bytes), excluded)}
	if len(w.Biggest) > 0 {
		texts = append(texts, "biggest: "+strings.Join(w.Biggest, ", "))
	}
	if w.Commits != "" {
		texts = append(texts, w.Commits)
	}
	for _, e := range w.Excluded {
		text := fmt.Sprintf("%d left out, %s: %s", e.Count, e.Why, strings.Join(e.Paths, ", "))
		if e.Count > len(e.Paths) {
			text += ", ..."
		}
		texts = append(texts, text)
	}
	for _, pattern := range w.Include {
		texts = append(texts, "INCLUDED ALTHOUGH A CREDENTIAL BY NAME: "+pattern)
	}
	texts = append(texts, w.Notes...)
	if w.CopyOut {
		return append(texts, "changes are shown when the agent ends, and applied after your yes")
	}
	return append(texts, "changes stay in the bottle: bottle copy-out "+p.Identity)
}
