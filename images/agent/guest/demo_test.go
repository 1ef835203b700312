//go:build linux

package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/execx"
)

var update = flag.Bool("update", false, "write the golden files")

// allRoles are the variables of a bottle with everything.
func allRoles() []string {
	return []string{
		"BOTTLE_DEMO_API=https://api.bottle.test/v1/", "BOTTLE_DEMO_NEW=https://new.bottle.test/", "MCP_SUPERVISE_URL=http://127.0.0.1:9100",
		"BOTTLE_DEMO_GIT=ssh://git@git.bottle.test/app.git", "BOTTLE_DEMO_BRANCH=bottle/demo-x7k2p/demo",
	}
}

// runDemo runs the demo script with testdata/curl and git, and interfaces that we name.
func runDemo(t *testing.T, breaking string, interfaces []string, prompt string, roles ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("../files/usr/local/bin/bottle-demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range interfaces {
		if err := os.MkdirAll(filepath.Join(dir, "net", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(string(script), "/sys/class/net", filepath.Join(dir, "net"))
	promptFile := filepath.Join(dir, "prompt.md")
	if err := os.WriteFile(promptFile, []byte(prompt), 0o600); err != nil {
		t.Fatal(err)
	}
	stubs, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = execx.Run(t.Context(), execx.Cmd{
		Path: "/bin/sh", Args: []string{"-c", text, "bottle-demo"}, Stdout: &out,
		Env: append([]string{
			"PATH=" + stubs + ":/usr/bin:/bin", "BREAK=" + breaking, "TMPDIR=" + dir, "USER=agent",
			"BOTTLE_DEMO_URL=https://echo.bottle.test/", "BOTTLE_DEMO_UNLISTED=https://unlisted.bottle.test/",
			"BOTTLE_DEMO_CANARY=127.0.0.1:4444", "BOTTLE_PROMPT_FILE=" + promptFile, "HTTPS_PROXY=http://127.0.0.1:8888",
		}, roles...),
	})
	code := 0
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) {
		code = exit.Code
	} else if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp.*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	return strings.ReplaceAll(out.String(), dir, "DIR"), code
}

func TestDemo(t *testing.T) {
	t.Parallel()
	out, code := runDemo(t, "", []string{"lo"}, "Hello!\nLook around.\n", allRoles()...)
	_, story, _ := strings.Cut(out, "\n  ok ") // before it: this machine's kernel and user
	story = "  ok " + story
	if *update {
		if err := os.WriteFile("testdata/demo.golden", []byte(story), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/demo.golden")
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || story != string(want) {
		t.Errorf("code %d, story:\n%s", code, out)
	}
	if lines := strings.Count(out, "\n"); lines > 40 {
		t.Errorf("%d lines are no story for a newcomer", lines)
	}
}

func TestDemoNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, breaking string
		interfaces     []string
		prompt, want   string
	}{
		{"a network device", "", []string{"eth0", "lo"}, "x", "network interfaces"},
		{"no prompt", "", []string{"lo"}, "", "prompt file"},
		{"allowed host fails", "echo", []string{"lo"}, "x", "https://echo.bottle.test/ through the proxy"},
		{"unlisted host answers", "unlisted", []string{"lo"}, "x", "https://unlisted.bottle.test/ through the proxy"},
		{"proxy is gone", "noproxy", []string{"lo"}, "x", "https://unlisted.bottle.test/ through the proxy"},
		{"canary answers", "canary", []string{"lo"}, "x", "your machine's 127.0.0.1:4444, directly"},
		{"proxy forwards to the canary", "forward", []string{"lo"}, "x", "your machine's 127.0.0.1:4444, through the proxy"},
		{"proxy connects to the canary", "tunnel", []string{"lo"}, "x", "your machine's 127.0.0.1:4444, by CONNECT"},
		{"there is DNS", "dns", []string{"lo"}, "x", "names"},
		{"the placeholder arrives", "credential", []string{"lo"}, "x", "GET https://api.bottle.test/v1/"},
		{"a method passes", "method", []string{"lo"}, "x", "DELETE https://api.bottle.test/v1/"},
		{"a path passes", "path", []string{"lo"}, "x", "GET https://api.bottle.test/private"},
		{"no clone", "clone", []string{"lo"}, "x", "a clone of ssh://git@git.bottle.test/app.git"},
		{"no push", "push", []string{"lo"}, "x", "a push to bottle/demo-x7k2p/demo"},
		{"a leak passes", "leak", []string{"lo"}, "x", "a push with a made-up credential in it"},
		{"the gate repeats a leak", "repeat", []string{"lo"}, "x", "a push with a made-up credential in it"},
		{"open before the yes", "early", []string{"lo"}, "x", "https://new.bottle.test/, before I ask"},
		{"a no", "ask", []string{"lo"}, "x", "asking the operator for new.bottle.test"},
		{"a yes without effect", "force", []string{"lo"}, "x", "https://new.bottle.test/, after the yes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, code := runDemo(t, test.breaking, test.interfaces, test.prompt, allRoles()...)
			if want := "\nReceipt: NOT as expected: " + test.want + "\n"; code != 1 || !strings.HasSuffix(out, want) {
				t.Errorf("code %d:\n%s", code, out)
			}
		})
	}
}

// TestDemoLeavesOut: a bottle without a role has a tour without its step.
func TestDemoLeavesOut(t *testing.T) {
	t.Parallel()
	out, code := runDemo(t, "", []string{"lo"}, "x")
	if code != 0 || !strings.HasSuffix(out, "\nReceipt: 3 allowed, 5 refused, exactly as bottle.toml says.\n") || strings.Count(out, "?\n") != 2 {
		t.Errorf("code %d:\n%s", code, out)
	}
}

func TestDemoNeedsItsVariables(t *testing.T) {
	t.Parallel()
	out, err := execx.Output(t.Context(), execx.Cmd{
		Path: "/bin/sh", Args: []string{"../files/usr/local/bin/bottle-demo"}, Env: []string{"PATH=/usr/bin:/bin", "BOTTLE_DEMO_URL=x"},
	})
	exit := (*execx.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 1 || len(out) != 0 ||
		exit.Stderr != "bottle-demo: BOTTLE_DEMO_UNLISTED is not set: start this with 'bottle start demo'\n" {
		t.Errorf("%q, %v", out, err)
	}
}
