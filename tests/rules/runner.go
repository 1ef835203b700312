package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/execx"
)

// A test that hangs without its rule is ended: after a multiple of what it took with it, so
// that a busy machine is not taken for a hanging test.
const (
	firstTime = 10 * time.Minute
	shortest  = 20 * time.Second
	multiple  = 6
)

type verdict string

// What can become of a clause.
const (
	caught   verdict = "caught"
	survived verdict = "SURVIVED" // the test passes without the rule
	broken   verdict = "BROKEN"   // the row itself: it does not apply, build, or pass as it is
	skipped  verdict = "skipped"
	openGap  verdict = "OPEN"
)

type outcome struct {
	verdict verdict
	detail  string
	took    time.Duration
}

// runner builds and runs tests of the checkout at root; what it makes is below work.
type runner struct {
	root, work  string
	integration bool
	environ     []string

	mu       sync.Mutex
	binaries map[string]func() (string, error)
	passes   map[string]func() outcome
	made     int
}

// try takes one clause away.
func (r *runner) try(ctx context.Context, c clause) outcome {
	begin := time.Now()
	o := r.attempt(ctx, c)
	o.took = time.Since(begin)
	return o
}

func (r *runner) attempt(ctx context.Context, c clause) outcome {
	if c.Needs != "" && !r.integration {
		return outcome{verdict: skipped, detail: "needs " + c.Needs + ": " + c.Test}
	}
	before := r.before(ctx, c)
	if before.verdict != "" {
		return before
	}
	overlay, err := r.overlay(c)
	if err != nil {
		return outcome{verdict: broken, detail: err.Error()}
	}
	binary, err := r.build(ctx, c, "-overlay="+overlay)
	if err != nil {
		return outcome{verdict: broken, detail: "without the rule it does not build: " + err.Error()}
	}
	defer func() { _ = os.Remove(binary) }()
	said, err := r.test(ctx, c, binary, max(shortest, multiple*before.took))
	exit := (*execx.ExitError)(nil)
	failed := failedPattern.FindStringSubmatch(said)
	switch {
	case ctx.Err() != nil:
		return outcome{verdict: skipped, detail: "interrupted"}
	case err == nil:
		return outcome{verdict: survived, detail: c.name() + " passes without it"}
	case failed != nil:
		return outcome{verdict: caught, detail: c.Package + " " + failed[1]}
	case strings.Contains(said, "panic: test timed out"):
		return outcome{verdict: caught, detail: c.name() + " (it hangs)"}
	case errors.As(err, &exit) && exit.Code > 0 && strings.Contains(said, "=== RUN   "+c.top()):
		return outcome{verdict: caught, detail: c.name() + " (the program ends)"}
	default:
		return outcome{verdict: broken, detail: "the test did not run: " + err.Error()}
	}
}

var failedPattern = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// before runs the test with the rule, once for all clauses that share it; an outcome without
// a verdict says that it passes, and how long it took.
func (r *runner) before(ctx context.Context, c clause) outcome {
	r.mu.Lock()
	if r.passes == nil {
		r.binaries, r.passes = map[string]func() (string, error){}, map[string]func() outcome{}
	}
	binary, ok := r.binaries[c.Package+c.Needs]
	if !ok {
		binary = sync.OnceValues(func() (string, error) { return r.build(ctx, c) })
		r.binaries[c.Package+c.Needs] = binary
	}
	pass, ok := r.passes[c.name()]
	if !ok {
		pass = sync.OnceValue(func() outcome { return r.passing(ctx, c, binary) })
		r.passes[c.name()] = pass
	}
	r.mu.Unlock()
	return pass()
}

func (r *runner) passing(ctx context.Context, c clause, build func() (string, error)) outcome {
	binary, err := build()
	if ctx.Err() != nil {
		return outcome{verdict: skipped, detail: "interrupted"}
	}
	if err != nil {
		return outcome{verdict: broken, detail: "with the rule it does not build: " + err.Error()}
	}
	begin := time.Now()
	said, err := r.test(ctx, c, binary, firstTime)
	switch {
	case ctx.Err() != nil:
		return outcome{verdict: skipped, detail: "interrupted"}
	case err != nil:
		return outcome{verdict: broken, detail: c.name() + " fails with the rule: " + tail(said)}
	case strings.Contains(said, "--- SKIP: "+c.top()+" "):
		return outcome{verdict: skipped, detail: c.name() + " skips itself here"}
	case !strings.Contains(said, "--- PASS: "+c.top()+" "):
		return outcome{verdict: broken, detail: "there is no test " + c.name()}
	}
	return outcome{took: time.Since(begin)}
}

// build makes the package's test program.
func (r *runner) build(ctx context.Context, c clause, more ...string) (string, error) {
	binary := r.fresh() + ".test"
	args := append([]string{"test", "-c", "-ldflags=-s -w", "-o", binary}, more...)
	if c.Needs != "" {
		args = append(args, "-tags=integration")
	}
	_, err := execx.Output(ctx, execx.Cmd{Path: "go", Args: append(args, "./"+c.Package), Dir: r.root, Env: r.environ})
	return binary, err
}

func (r *runner) test(ctx context.Context, c clause, binary string, limit time.Duration) (string, error) {
	env := r.environ
	if c.Needs != "" {
		env = append(slices.Clone(env), "BOTTLE_REQUIRE=docker,vm")
	}
	var out buffer
	err := execx.Run(ctx, execx.Cmd{
		Path: binary, Args: []string{"-test.v", "-test.run=" + c.pattern(), "-test.timeout=" + limit.String()},
		Dir: filepath.Join(r.root, filepath.FromSlash(c.Package)), Env: env, Stdout: &out, Stderr: &out,
	})
	return string(out.text), err
}

// buffer is written by two streams.
type buffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

// overlay writes the changed files and the list of them that -overlay takes.
func (r *runner) overlay(c clause) (string, error) {
	files, err := mutate(r.root, c)
	if err != nil {
		return "", err
	}
	var list struct{ Replace map[string]string }
	list.Replace = map[string]string{}
	for name, text := range files {
		original, err := filepath.Abs(filepath.Join(r.root, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		changed := r.fresh() + ".go"
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing the changed file: %w", err)
		}
		list.Replace[original] = changed
	}
	data, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	name := r.fresh() + ".json"
	return name, os.WriteFile(name, data, 0o600)
}

// fresh is a new name below work.
func (r *runner) fresh() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	return filepath.Join(r.work, fmt.Sprintf("%04d", r.made))
}

// tail is the end of what a test said, on one line.
func tail(said string) string {
	const most = 300
	said = strings.Join(strings.Fields(said), " ")
	return said[max(0, len(said)-most):]
}
