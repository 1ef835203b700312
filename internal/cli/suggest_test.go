package cli

import (
	"strings"
	"testing"
)

func TestNoCommand(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"strt":                    `there is no command "strt": did you mean start?`,
		"lgos":                    `there is no command "lgos": did you mean logs?`,
		"supervice":               `there is no command "supervice": did you mean supervise?`,
		"run":                     `there is no command "run": did you mean start?`,
		"ps":                      `there is no command "ps": did you mean list?`,
		"mn":                      `there is no command "mn": did you mean man?`,
		"x":                       `there is no command "x"`,
		"":                        `there is no command ""`,
		"frobnicate":              `there is no command "frobnicate"`,
		"\x1b[2J":                 `there is no command "\\x1b[2J"`,
		strings.Repeat("x", 1000): `there is no command "` + strings.Repeat("x", 1000) + `"`,
	} {
		if got := noCommand(word).Error(); got != want {
			t.Errorf("noCommand(%q) = %s, want %s", word, got, want)
		}
	}
	// Our word for it must be one.
	for _, word := range []string{"run", "ps", "rm", "log"} {
		ours := otherWord(word)
		found := false
		for _, c := range commands() {
			found = found || c.name == ours
		}
		if !found {
			t.Errorf("%s: there is no command %q", word, ours)
		}
	}
}
