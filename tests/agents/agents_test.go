//go:build integration

package agents

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// prefix begins the name of every agent here, so that leftovers can be told from the bottles
// of the person whose machine this is.
const prefix = "ag-"

// patience bounds one agent: building its image, an emulated boot and its work.
const patience = 10 * time.Minute

// apiPath is what each program asks its model for.
func apiPath(template string) string {
	if template == "codex" {
		return "/v1/responses"
	}
	return "/v1/messages"
}

// TestRealAgent: a new user's first minutes. The program works on its prompt with its own
// shell tool, pushes through the git gate, calls a supervise tool and ends; the model's
// double saw the real credential in every request, and the guest never had it.
func TestRealAgent(t *testing.T) {
	for _, template := range []string{"claude", "codex", "opencode"} {
		t.Run(template, func(t *testing.T) {
			if template != "claude" && os.Getenv("BOTTLE_SLOW") == "" {
				t.Skip("BOTTLE_SLOW=1 runs it")
			}
			w := newWorld(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			manifest := w.manifest(t, template)
			begin := time.Now()
			result, err := w.Run(ctx, "start", prefix+template, "--yes", "--manifest", manifest)
			if err != nil || result.Code != 0 {
				t.Fatalf("%v %s", err, result)
			}
			id := rig.Identity(result.Stderr)
			t.Logf("%s took %s", id, time.Since(begin).Round(time.Second))
			if template == "claude" && !w.succeeds(ctx, t, "audit", "verify", id) {
				t.Error("the audit log does not verify")
			}
			checkScreen(t, id, result)
			checkLog(t, id, template, w.lines(t, id))
			left, err := w.Left(ctx, w.engine, prefix)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %q", err, left)
			}
		})
	}
}

// manifest is what `bottle init --try` writes, with an agent of the test's own name.
func (w *world) manifest(t *testing.T, template string) string {
	t.Helper()
	path := filepath.Join(w.Dir, template+".toml")
	result, err := w.Run(t.Context(), "init", "--template", template, "--try", "--file", path)
	if err != nil || result.Code != 0 || strings.TrimSpace(result.Stdout) != path {
		t.Fatalf("%v %s", err, result)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	renamed := bytes.Replace(text, []byte("[agents."+template+"]"), []byte("[agents."+prefix+template+"]"), 1)
	if err := os.WriteFile(path, renamed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	pushed  = regexp.MustCompile(`pushed [0-9a-f]{7,} to bottle/(\S+)/change`)
	witness = regexp.MustCompile(`credential: the real one in ([3-9]|[1-9][0-9]+) requests, another or none in 0\b`)
)

// checkScreen looks at what a person sees: the model's last text, and the receipt.
func checkScreen(t *testing.T, id string, result rig.Result) {
	t.Helper()
	if got := pushed.FindStringSubmatch(result.Stdout); got == nil || got[1] != id {
		t.Errorf("the shell tool did not push: %s", result)
	}
	if !witness.MatchString(result.Stdout) {
		t.Errorf("the model did not see the real credential in 3 requests: %s", result)
	}
	if !strings.Contains(result.Stdout, `ask supervise what may be reached:`) || !strings.Contains(result.Stdout, "model.bottle.test") {
		t.Errorf("the supervise tool did not answer: %s", result)
	}
	for _, want := range []string{
		"pushed   app bottle/" + id + "/change  once",
		"its settings are there, the credential is not",
	} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("the receipt lacks %q: %s", want, result)
		}
	}
}

// line is one of the audit log.
type line struct {
	Source string `json:"source"`
	Event  string `json:"event"`
	Fields struct {
		Host   string `json:"host"`
		Method string `json:"method"`
		Path   string `json:"path"`
		Status int    `json:"status"`
		Tool   string `json:"tool"`
		Remote string `json:"remote"`
		Refs   []struct {
			Ref string `json:"ref"`
		} `json:"refs"`
	} `json:"fields"`
}

func (w *world) lines(t *testing.T, id string) []line {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.StateDir(), ".audit", id+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", scanner.Text(), err)
		}
		lines = append(lines, l)
	}
	return lines
}

// checkLog looks at the host's own evidence.
func checkLog(t *testing.T, id, template string, lines []line) {
	t.Helper()
	has := func(what string, is func(line) bool) {
		if !slices.ContainsFunc(lines, is) {
			t.Errorf("the audit log has no %s", what)
		}
	}
	has("push to the branch", func(l line) bool {
		return l.Source == "git-gate" && l.Event == "push-allow" && l.Fields.Remote == "app" &&
			len(l.Fields.Refs) == 1 && l.Fields.Refs[0].Ref == "refs/heads/bottle/"+id+"/change"
	})
	has("call of the supervise tool", func(l line) bool {
		return l.Source == "supervise" && l.Event == "call" && l.Fields.Tool == "list-egress-routes"
	})
	has("answered request to the model", func(l line) bool {
		return l.Source == "egress" && l.Event == "close" && l.Fields.Method == "POST" &&
			l.Fields.Host == "model.bottle.test" && l.Fields.Path == apiPath(template) && l.Fields.Status == 200
	})
	for _, l := range lines {
		// Nothing that the program does by itself may go to the model unanswered, and nothing
		// may be refused by a rule of egress.
		if l.Source == "egress" && (l.Event == "deny" || l.Event == "close" && l.Fields.Status != 200) {
			t.Errorf("egress: %+v", l)
		}
	}
}
