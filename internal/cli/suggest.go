package cli

import (
	"fmt"

	"bottle.internal/internal/nearest"
	"bottle.internal/internal/printable"
)

// noCommand says that there is no such command, and what may have been meant.
func noCommand(word string) error {
	problem := &usageError{text: fmt.Sprintf("there is no command %q", printable.SafeText(word)), hints: []string{"bottle help"}}
	best := otherWord(word)
	if best == "" {
		var names []string
		for _, c := range commands() {
			names = append(names, c.name)
		}
		best = nearest.Of(word, names)
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
