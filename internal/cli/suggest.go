package cli

import (
	"fmt"

	"github.com/agnivade/levenshtein"

	"bottle.internal/internal/event"
)

// maxTypos is how far a word may be from the command that was meant.
const maxTypos = 2

// noCommand says that there is no such command, and what may have been meant.
func noCommand(word string) error {
	problem := &usageError{text: fmt.Sprintf("there is no command %q", event.SafeText(word)), hints: []string{"bottle help"}}
	best, distance := otherWord(word), maxTypos+1
	if best != "" {
		distance = 0
	}
	for _, c := range commands() {
		if d := levenshtein.ComputeDistance(word, c.name); d < distance && d < len(c.name)-1 {
			best, distance = c.name, d
		}
	}
	if best != "" {
		problem.text += fmt.Sprintf(": did you mean %s?", best)
		problem.hints = []string{"bottle " + best + " --help", "bottle help"}
	}
	return problem
}

// otherWord is our word for what other tools call by this one.
func otherWord(word string) string {
	switch word {
	case "run", "up":
		return "start"
	case "ls", "ps", "status":
		return "list"
	case "rm", "kill", "down":
		return "stop"
	case "log":
		return "logs"
	}
	return ""
}
