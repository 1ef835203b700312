package board

import (
	"strings"
	"testing"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

func row(id, kind string, v proposal.View) app.Proposal {
	v.Proposal.ID = strings.Repeat(id, 64)
	v.Status = ask.Pending
	if kind == "allow" {
		v.Proposal.Allow = &ask.Allow{Host: "a.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/"}, Justification: "x"}
	} else {
		v.Proposal.Capability = &ask.Capability{Capability: kind, Justification: "x"}
	}
	v.Digest, v.Base = strings.Repeat("d", 64), "base"
	return app.Proposal{Identity: "demo-aaaaa", View: v}
}

// Nothing is decided from the list: what is approved is what the details show.
func TestBoardDecidesOnlyWhatItShows(t *testing.T) {
	t.Parallel()
	var b board
	b.update([]app.Proposal{row("a", "allow", proposal.View{}), row("b", "docker", proposal.View{})}, nil)
	b.key('j')
	if i := b.key('a'); i.decide != "" || i.show != strings.Repeat("b", 64) {
		t.Errorf("a in the list: %+v", i)
	}
	b.show(b.rows[1])
	if i := b.key('a'); i.decide != strings.Repeat("b", 64) || i.answer.Verdict != proposal.Approve || i.answer.Seen != strings.Repeat("d", 64)+"base" {
		t.Errorf("a in the details: %+v", i)
	}
	b.key('r')
	for _, key := range "nope" {
		b.key(key)
	}
	b.key(127)
	if i := b.key('\r'); i.answer.Verdict != proposal.Reject || i.answer.Note != "nop" {
		t.Errorf("r: %+v", i)
	}
	b.key('q')
	if b.quit || b.open != nil {
		t.Error("q in the details must go back")
	}
	if b.key('q'); !b.quit {
		t.Error("q in the list must end")
	}
}

// A credential is used only if its host is typed, letter by letter.
func TestBoardAsksForTheCredentialsHost(t *testing.T) {
	t.Parallel()
	var b board
	b.show(row("a", "allow", proposal.View{Uses: "env:TOKEN"}))
	if i := b.key('a'); i.decide != "" {
		t.Fatalf("a approved at once: %+v", i)
	}
	if lines := b.lines(80, 24); lines[len(lines)-1] != "it USES env:TOKEN: type the host to approve: " {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	if i := b.key('\r'); i.decide != "" {
		t.Errorf("an empty host: %+v", i)
	}
	b.key('a')
	for _, key := range "a.example.com" {
		b.key(key)
	}
	if i := b.key('\r'); i.answer.WithCredential != "a.example.com" {
		t.Errorf("the typed host: %+v", i)
	}
	b.show(row("a", "allow", proposal.View{Problem: "no"}))
	if i := b.key('a'); i.decide != "" || b.message != "it cannot be approved" {
		t.Errorf("an impossible approval: %+v, %q", i, b.message)
	}
}

func TestBoardFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var b board
	var rows []app.Proposal
	for _, id := range "0123456789abcdef" {
		rows = append(rows, row(string(id), strings.Repeat("東京 ", 80)+"\x1b[2J\n", proposal.View{}))
	}
	b.update(rows, nil)
	for range 12 {
		b.key('j')
	}
	for _, open := range []bool{false, true} {
		if open {
			b.show(rows[0])
		}
		lines := b.lines(40, 10)
		if len(lines) > 10 {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len([]rune(line)) > 40 || strings.ContainsAny(line, "\x1b\n\r\t") {
				t.Errorf("line %q", line)
			}
		}
	}
}
