package why

import (
	"fmt"
	"strings"

	"bottle.internal/internal/printable"
)

func safe(text string) string { return printable.ASCII(text, 120) }

// Text is for people. What was typed or written in a manifest cannot move the cursor.
func (a Answer) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(printable.SafeText(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`)) + "\n")
	}
	verdict := "allowed"
	if step := a.Decisive(); !a.Allowed {
		verdict = "refused by " + step.Layer
		if step.Status != 0 {
			verdict += fmt.Sprintf(" (%d, rule %s)", step.Status, step.Rule)
		}
	}
	who := "agent " + a.Agent
	if a.Identity != "" {
		who = a.Identity
	}
	line("%s: %s", verdict, a.Question)
	line("  %-9s %s, bottle %s", "for", who, a.Bottle)
	for _, step := range a.Steps {
		word := "allows"
		if !step.Allows {
			word = "refuses"
		}
		where := ""
		switch {
		case step.Approval != "":
			where = ", " + step.Approval
		case step.At != "":
			where = " (" + step.At + ")"
		}
		line("  %-9s %s: %s%s", step.Layer, word, step.Reason, where)
	}
	for _, header := range a.Headers {
		line("  %-9s %s: %s", "header", header.Name, header.Fate)
	}
	for _, note := range a.Notes {
		line("  %-9s %s", "note", note)
	}
	if len(a.ToAllow) > 0 {
		line("to allow it:")
		for _, text := range a.ToAllow {
			line("  %s", text)
		}
	}
	return b.String()
}
