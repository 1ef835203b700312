// Package board is how a person sees what agents ask for, and answers it: a table, one
// proposal in full, a live screen, or a line for each change.
//
// Invariants: text of an agent is escaped and stands where it cannot pose as ours; what is
// decided on the live screen is what its details show, never a line of the list; a credential
// is used only if its host was typed.
package board

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/proposal"
)

// board is the live screen, without the terminal: keys go in, lines
// come out. What is decided is always what the details show, never a line of the list.
type board struct {
	rows    []app.Proposal
	cursor  int
	open    *app.Proposal // whose details are shown, as they were read then
	asking  string        // what is typed on the last line: "", "note" or "host"
	typed   string
	message string
	quit    bool
}

// intent is what a key asks the program to do.
type intent struct {
	show   string // ID to look at
	decide string // ID to decide
	answer proposal.Answer
}

// update replaces the list and keeps the cursor on its proposal.
func (b *board) update(rows []app.Proposal, problems []error) {
	at := ""
	if b.cursor < len(b.rows) {
		at = b.rows[b.cursor].Proposal.ID
	}
	b.rows = slices.Clone(rows)
	slices.SortStableFunc(b.rows, func(x, y app.Proposal) int { // what waits is on top
		return map[bool]int{true: 1}[x.Status != ask.Pending] - map[bool]int{true: 1}[y.Status != ask.Pending]
	})
	if i := slices.IndexFunc(b.rows, func(p app.Proposal) bool { return p.Proposal.ID == at }); i >= 0 {
		b.cursor = i
	}
	b.cursor = min(b.cursor, max(0, len(b.rows)-1))
	if len(problems) > 0 {
		b.message = printable.SafeLine(problems[0].Error())
	}
}

// show opens the details of p.
func (b *board) show(p app.Proposal) { b.open, b.asking, b.typed = &p, "", "" }

// key handles one key.
func (b *board) key(key rune) intent {
	switch {
	case key == 3: // ^C
		b.quit = true
	case b.asking != "":
		return b.edit(key)
	case key == 'q' && b.open == nil:
		b.quit = true
	case key == 'q' || key == 27:
		b.open, b.message = nil, ""
	case b.open != nil:
		return b.detailKey(key)
	case key == 'j' && b.cursor < len(b.rows)-1:
		b.cursor++
	case key == 'k' && b.cursor > 0:
		b.cursor--
	case (key == '\r' || key == 'a' || key == 'r') && b.cursor < len(b.rows):
		b.message = ""
		return intent{show: b.rows[b.cursor].Proposal.ID}
	}
	return intent{}
}

func (b *board) detailKey(key rune) intent {
	pending := b.open.Status == ask.Pending && b.open.Decision == nil
	switch {
	case !pending || key != 'a' && key != 'r':
		return intent{}
	case key == 'r':
		b.asking = "note"
		return intent{}
	case b.open.Problem != "":
		b.message = "it cannot be approved"
		return intent{}
	case b.open.Uses != "":
		b.asking = "host"
		return intent{}
	}
	return b.decide(proposal.Answer{Verdict: proposal.Approve})
}

// edit changes the last line.
func (b *board) edit(key rune) intent {
	switch {
	case key == 27:
		b.asking, b.typed = "", ""
	case key == 127 || key == 8:
		if _, size := utf8.DecodeLastRuneInString(b.typed); size > 0 {
			b.typed = b.typed[:len(b.typed)-size]
		}
	case key == '\r':
		asking, typed := b.asking, b.typed
		b.asking, b.typed = "", ""
		if asking == "note" {
			return b.decide(proposal.Answer{Verdict: proposal.Reject, Note: typed})
		}
		if typed == "" {
			b.message = "not approved: the host was not typed"
			return intent{}
		}
		return b.decide(proposal.Answer{Verdict: proposal.Approve, WithCredential: typed})
	case key >= ' ' && len(b.typed) < 300:
		b.typed += string(key)
	}
	return intent{}
}

func (b *board) decide(answer proposal.Answer) intent {
	answer.Seen = b.open.Seen()
	return intent{decide: b.open.Proposal.ID, answer: answer}
}

// lines is the screen. Every line is safe text and fits the width.
func (b *board) lines(width, height int) []string {
	var body []string
	help := "j/k select  enter show  q quit"
	if b.open != nil {
		body = Details(*b.open)
		help = "esc back"
		if b.open.Status == ask.Pending && b.open.Decision == nil {
			help = "a approve  r reject  esc back   (to keep it after a resume: bottle supervise approve " + b.open.Short() + " --keep)"
		}
	} else {
		body = b.list(height - 3)
	}
	room := max(1, height-2)
	if len(body) > room {
		body = append(body[:room-1], fmt.Sprintf("... %d lines more: bottle supervise show", len(body)-room+1))
	}
	foot := help
	switch {
	case b.asking == "note":
		foot = "why? (enter rejects, esc does not) " + printable.SafeText(b.typed)
	case b.asking == "host":
		foot = "it USES " + b.open.Uses + ": type the host to approve: " + printable.SafeText(b.typed)
	case b.message != "":
		foot = b.message + "   " + help
	}
	out := make([]string, 0, len(body)+2)
	for _, line := range append(body, "", foot) {
		out = append(out, fit(line, width))
	}
	return out
}

// list is a window of the rows around the cursor.
func (b *board) list(room int) []string {
	if len(b.rows) == 0 {
		return []string{"nothing was asked for yet"}
	}
	room = max(1, room)
	first := max(0, min(b.cursor-room/2, len(b.rows)-room))
	var out []string
	for i := first; i < min(len(b.rows), first+room); i++ {
		p, mark := b.rows[i], "  "
		if i == b.cursor {
			mark = "> "
		}
		out = append(out, fmt.Sprintf("%s%s  %-16s %-12s %s", mark, p.Short(), p.Identity, status(p), Summary(p)))
	}
	return out
}

// fit cuts a line to columns; a rune beyond ASCII may take two.
func fit(line string, columns int) string {
	used := 0
	line = strings.ReplaceAll(line, "\t", " ")
	for i, r := range line {
		used++
		if r >= utf8.RuneSelf {
			used++
		}
		if used > columns {
			return line[:i]
		}
	}
	return line
}
