package fuzzing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/execx"
)

// DefaultTime is how long each target runs.
const DefaultTime = 60 * time.Second

// Config says what to run.
type Config struct {
	Dir     string        // the module's
	Time    time.Duration // of each target; 0 is DefaultTime
	Environ []string      // of go test
	Go      string        // the go command; "" is the one on PATH
	Out     io.Writer     // gets a line for each target, and more about one that failed
}

// ParseTime reads $FUZZTIME, such as 90s; "" is DefaultTime.
func ParseTime(text string) (time.Duration, error) {
	if text == "" {
		return DefaultTime, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("FUZZTIME is %q: write a time such as 90s", text)
	}
	return d, nil
}

// Run runs all targets, whatever they find, and fails with the names of those that failed.
func Run(ctx context.Context, config Config) error {
	targets, err := Find(config.Dir)
	if err != nil {
		return err
	}
	config.Time, config.Go = cmp.Or(config.Time, DefaultTime), cmp.Or(config.Go, "go")
	var failed []string
	for _, target := range targets {
		result := config.run(ctx, target)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Fprintln(config.Out, result.line(target))
		if result.err == nil {
			continue
		}
		fmt.Fprint(config.Out, result.details())
		failed = append(failed, result.name(target))
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d fuzz targets failed: %s", len(failed), len(targets), strings.Join(failed, ", "))
	}
	return nil
}

func (c Config) run(ctx context.Context, target Target) result {
	out := excerpt.Tail{Limit: maxTail}
	err := execx.Run(ctx, execx.Cmd{
		Path: c.Go, Dir: c.Dir, Env: c.Environ, Stdout: &out, Stderr: &out,
		Args: []string{"test", "-run=^$", "-fuzz=^" + target.Name + "$", "-fuzztime=" + c.Time.String(), "./" + target.Package},
	})
	r := result{out: out.String(), err: err, execs: "no"}
	if all := execsPattern.FindAllStringSubmatch(r.out, -1); len(all) > 0 {
		r.execs = all[len(all)-1][1]
	}
	if found := crasherPattern.FindStringSubmatch(r.out); found != nil {
		r.crasher = found[1]
	}
	if err != nil && r.crasher == "" && latePattern.MatchString(r.out) {
		r.late, r.err = true, nil
	}
	if err == nil && len(execsPattern.FindString(r.out)) == 0 {
		r.err = errors.New("it ran nothing") // go test is content with a pattern that names no target
	}
	return r
}

var (
	execsPattern = regexp.MustCompile(`(?m)^fuzz: elapsed: .*\bexecs: ([0-9]+)`)
	// latePattern is no finding: go test says so when its time is over in the midst of a slow input.
	latePattern    = regexp.MustCompile(`(?m)^--- FAIL: \S+ \(\S+\)\n\s+context deadline exceeded$`)
	crasherPattern = regexp.MustCompile(`(?m)^\s*Failing input written to (\S+)`)
)

// result is what became of one target.
type result struct {
	out     string
	execs   string
	crasher string // file of the input that fails, below the package; "" if none was written
	late    bool   // the time was over in the midst of an input
	err     error
}

func (r result) line(target Target) string {
	verdict := "ok"
	switch {
	case r.err != nil:
		verdict = "FAILED"
	case r.late:
		verdict = "ok, the last input was cut short"
	}
	return fmt.Sprintf("%-36s %-20s %9s execs  %s", target.Package, target.Name, r.execs, verdict)
}

// details are the last lines of what go test said.
func (r result) details() string {
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	lines = lines[max(0, len(lines)-maxLines):]
	return "    " + strings.Join(append(lines, r.err.Error()), "\n    ") + "\n"
}

func (r result) name(target Target) string {
	if r.crasher == "" {
		return target.String()
	}
	return fmt.Sprintf("%s (%s)", target, r.crasher)
}

const (
	maxLines = 40
	maxTail  = 64 << 10
)
