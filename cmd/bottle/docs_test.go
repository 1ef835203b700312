package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"bottle.internal/internal/audit"
	"bottle.internal/tests/docs"
)

const root = "../.."

// TestDocs runs the commands of the pages, in the order in which they stand there. Each page
// with commands has a script in testdata/docs that makes what they need; commands that cannot
// run in the sandbox are listed there one by one, with the reason.
func TestDocs(t *testing.T) {
	t.Parallel()
	pages, err := docs.All(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		commands, err := page.Commands()
		if err != nil {
			t.Error(err)
		}
		script := filepath.Join("testdata/docs", strings.TrimSuffix(filepath.Base(page.Name), ".md")+".txtar")
		if text, err := os.ReadFile(script); len(commands) > 0 && (err != nil || !strings.Contains(string(text), page.Name)) {
			t.Errorf("%s has commands, and %s does not run them: %v", page.Name, script, err)
		}
	}
	leavesAlone(t, filepath.Join(root, "bottle.lock"))
	testscript.Run(t, sandbox(t, "testdata/docs"))
}

// leavesAlone fails when the test ends with another content of a file of the checkout, which
// the commands have as $BOTTLE_SOURCE.
func leavesAlone(t *testing.T, path string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
			t.Errorf("a command of the docs has changed %s: %v", path, err)
		}
	})
}

// What does not run here runs elsewhere: the tests that the scripts name are there.
func TestReasonsNameTests(t *testing.T) {
	t.Parallel()
	declared, err := docs.Tests(root)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/docs/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, reason := range regexp.MustCompile(`(?m)^not .* -- (.*)$`).FindAllStringSubmatch(string(text), -1) {
			for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(reason[1], -1) {
				if !declared[name] {
					t.Errorf("%s: there is no test %s", script, name)
				}
			}
		}
	}
}

// treatment is a line of a script's file "how": what is done with the commands that match.
type treatment struct {
	kind    string // see page
	pattern *regexp.Regexp
	text    string
	used    bool
}

// page runs the commands of a page: page [--each] NAME. With --each every command begins
// with the same files; otherwise they follow each other in one shell. The file "how" has a
// line for each that is not simply run and must succeed:
//
//	dry PATTERN              with --dry-run added
//	asks PATTERN             it comes as far as the question, and there is no terminal
//	exit1 PATTERN            it exits with 1
//	either PATTERN           it exits with 0 or 1, as this machine is
//	as PATTERN -- COMMAND    with other words
//	not PATTERN -- REASON    not here
//
// In a pattern * stands for anything. Every line must be needed.
func page(ts *testscript.TestScript, neg bool, args []string) {
	each := len(args) == 2 && args[0] == "--each"
	if neg || len(args) == 0 || len(args) > 1 != each {
		ts.Fatalf("usage: page [--each] NAME")
	}
	name := args[len(args)-1]
	page, err := docs.Read(root, name)
	ts.Check(err)
	commands, err := page.Commands()
	ts.Check(err)
	how := treatments(ts)
	var script strings.Builder
	script.WriteString("mkdir $WORK/run; cp -a $HOME $WORK/home0; cp -a $SMOLVM_DATA_DIR $WORK/smolvm0; here=$PWD\n")
	kinds := make([]string, len(commands))
	for i, command := range commands {
		text, kind := command.Text, "run"
		if one := match(how, command.Text); one != nil {
			kind = one.kind
			switch kind {
			case "not":
				ts.Logf("%s:%d: not here: %s: %s", name, command.Line, command.Text, one.text)
				continue
			case "dry":
				text = command.With("--dry-run", "bottle", "start")
				if text == command.Text {
					ts.Fatalf("%s:%d: %s: it has no dry run", name, command.Line, text)
				}
			case "as":
				text = one.text
			}
		}
		kinds[i] = kind
		if each {
			script.WriteString("cd $here; rm -rf $HOME $SMOLVM_DATA_DIR; cp -a $WORK/home0 $HOME; cp -a $WORK/smolvm0 $SMOLVM_DATA_DIR\n")
		}
		fmt.Fprintf(&script, "{\n%s\n} >$WORK/run/%d.out 2>$WORK/run/%d.err; echo $? >$WORK/run/%d.code\n", text, i, i, i)
	}
	ts.Check(os.WriteFile(ts.MkAbs("page.sh"), []byte(script.String()), 0o600))
	late := ts.Exec("timeout", "300", "bash", ts.MkAbs("page.sh"))
	var problems []string
	for i, command := range commands {
		files := filepath.Join(ts.Getenv("WORK"), "run", strconv.Itoa(i))
		if _, err := os.Stat(files + ".code"); kinds[i] != "" && err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: %s: it does not end: %v", name, command.Line, command.Text, late))
			break
		}
		if kinds[i] == "" {
			continue
		}
		if problem := judge(ts, command, kinds[i], files); problem != "" {
			problems = append(problems, fmt.Sprintf("%s:%d: %s: %s", name, command.Line, command.Text, problem))
		}
	}
	if len(problems) > 0 {
		ts.Fatalf("%s", strings.Join(problems, "\n"))
	}
	for _, one := range how {
		if !one.used {
			ts.Fatalf("%s has no command for: %s %s", name, one.kind, one.pattern)
		}
	}
}

// example writes a manifest that a page shows to a file: example NAME NUMBER FILE.
func example(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: example NAME NUMBER FILE")
	}
	page, err := docs.Read(root, args[0])
	ts.Check(err)
	left, err := strconv.Atoi(args[1])
	ts.Check(err)
	for _, block := range page.Blocks {
		if block.Lang == "toml" {
			left--
		}
		if left == 0 {
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(block.Text), 0o600))
			return
		}
	}
	ts.Fatalf("%s does not show so many", args[0])
}

// borrow writes the files of another script: borrow SCRIPT.
func borrow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: borrow SCRIPT")
	}
	archive, err := txtar.ParseFile(filepath.Join("testdata/script", args[0]))
	ts.Check(err)
	ts.Check(txtar.Write(archive, ts.Getenv("WORK")))
}

func treatments(ts *testscript.TestScript) []*treatment {
	text, err := os.ReadFile(filepath.Join(ts.Getenv("WORK"), "how"))
	if os.IsNotExist(err) {
		return nil
	}
	ts.Check(err)
	var list []*treatment
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		glob, text, found := strings.Cut(strings.TrimSpace(rest), " -- ")
		if wants := kind == "not" || kind == "as"; wants != found || !strings.Contains(" dry asks exit1 either as not ", " "+kind+" ") {
			ts.Fatalf("how: %s", line)
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(glob)), `\*`, ".*")
		list = append(list, &treatment{kind: kind, pattern: regexp.MustCompile("(?s)^" + pattern + "$"), text: text})
	}
	return list
}

func match(how []*treatment, command string) *treatment {
	for _, one := range how {
		if one.pattern.MatchString(command) {
			one.used = true
			return one
		}
	}
	return nil
}

// judge looks at how a command ended, and whether it printed what the page shows.
func judge(ts *testscript.TestScript, command docs.Command, kind, files string) (problem string) {
	stdout, stderr := ts.ReadFile(files+".out"), ts.ReadFile(files+".err")
	code := strings.TrimSpace(ts.ReadFile(files + ".code"))
	want := map[string]string{"asks": "2", "exit1": "1"}[kind]
	if want == "" {
		want = "0"
	}
	switch {
	case kind == "either" && code == "1": // the page shows what a machine that has everything prints
		return ""
	case code != want:
		return fmt.Sprintf("exit code %s, want %s\n%s%s", code, want, stdout, stderr)
	case kind == "asks" && !strings.Contains(stderr, "there is no terminal to ask on"):
		return fmt.Sprintf("it does not ask:\n%s%s", stdout, stderr)
	case !command.Shows:
		return ""
	}
	got := strings.NewReplacer(ts.Getenv("HOME"), "/home/me", ts.Getenv("WORK"), "/home/me").Replace(stdout + stderr)
	shown := strings.ReplaceAll(regexp.QuoteMeta(command.Want), "…", ".*")
	if !regexp.MustCompile("^" + shown + "$").MatchString(strings.TrimRight(got, "\n") + "\n") {
		return "it prints something else than the page shows (-page +program):\n" + cmp.Diff(command.Want, got)
	}
	return ""
}

// auditLog writes the audit log of a bottle from lines "TIME SOURCE EVENT FIELDS", as if it
// had happened then, each signed at once: auditlog FILE IDENTITY.
func auditLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: auditlog FILE IDENTITY")
	}
	dir := filepath.Join(ts.Getenv("STATE"), ".audit")
	ts.Check(os.MkdirAll(dir, 0o700))
	key, err := audit.LoadKey(filepath.Join(dir, "key"), rand.Reader)
	ts.Check(err)
	var now atomic.Pointer[time.Time]
	now.Store(&time.Time{})
	var log *audit.Log
	lines := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[0])))
	for lines.Scan() {
		part := strings.SplitN(lines.Text(), " ", 4)
		at, err := time.Parse(time.RFC3339Nano, part[0])
		ts.Check(err)
		now.Store(&at)
		if log == nil {
			log, err = audit.Open(filepath.Join(dir, args[1]+".jsonl"), key, func() time.Time { return *now.Load() })
			ts.Check(err)
		}
		ctx := context.Background()
		ts.Check(log.Append(ctx, audit.Record{Source: audit.Source(part[1]), Event: part[2], Fields: json.RawMessage(part[3])}))
		ts.Check(log.Flush(ctx))
	}
	ts.Check(log.Close())
}
