package why_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"bottle.internal/internal/why"
	"bottle.internal/tests/golden"
)

var (
	tomlBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")
	shown     = regexp.MustCompile("(?s)```console\n\\$ bottle why (.*?)\n(.*?)```")
)

// TestDocs runs what docs/why.md shows.
func TestDocs(t *testing.T) {
	t.Parallel()
	const file = "../../docs/why.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	p := planOf(t, tomlBlock.FindStringSubmatch(text)[1])
	blocks := 0
	again := shown.ReplaceAllStringFunc(text, func(block string) string {
		blocks++
		typed := shown.FindStringSubmatch(block)[1]
		words := strings.Fields(typed)
		var answer why.Answer
		if words[0] == "push" {
			answer = why.AskGit(facts(p), words[1], words[2])
		} else {
			request := why.Request{Method: words[0], URL: words[1]}
			if len(words) == 4 {
				request.Headers = words[3:]
			}
			if answer, err = why.Ask(facts(p), request); err != nil {
				t.Fatal(err)
			}
		}
		return "```console\n$ bottle why " + typed + "\n" + answer.Text() + "```"
	})
	if golden.Check(t, file, again); blocks != 4 {
		t.Errorf("%d blocks, want 4", blocks)
	}
}
