package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/app"
	"bottle.internal/internal/launch"
)

func TestMain(m *testing.M) {
	// The first signal.Notify of a process starts a goroutine for good.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// signalled is as signal.NotifyContext's cause.
type signalled struct{ error }

func (signalled) Is(target error) bool { return target == context.Canceled }

func TestReport(t *testing.T) {
	t.Parallel()
	interrupt := signalled{errors.New("interrupt signal received")}
	leftover := &launch.LeftoverError{Identity: "demo-aaaaa", Err: errors.New("undoing the bundle: stuck")}
	down := &app.Problem{Err: errors.New("Docker does not answer"), Hints: []string{"go tool mage setup"}}
	for _, test := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing", nil, 0, ""},
		{"a problem", errors.New("no"), 1, "bottle: error: no\n"},
		{"several lines", errors.Join(errors.New("one"), errors.New("two")), 1, "bottle: error: one\nbottle:        two\n"},
		{"hostile text", errors.New("guest said \x1b[2J\rbottle: fine"), 1, `bottle: error: guest said \x1b[2J\rbottle: fine` + "\n"},
		{"a mistake", &usageError{text: "which bottle?", hints: []string{"bottle list"}}, 2, "bottle: error: which bottle?\nbottle: hint:  bottle list\n"},
		{"the guest's code", exitWith(3), 3, ""},
		{"the guest's code, wrapped", fmt.Errorf("x: %w", exitWith(130)), 130, ""},
		{"no code", exitWith(0), 0, ""},
		{"an interrupt", interrupt, 130, "bottle: interrupted\n"},
		{
			"an interrupt that left something", errors.Join(interrupt, leftover), 130,
			"bottle: interrupted\nbottle: error: demo-aaaaa was not removed completely: undoing the bundle: stuck\nbottle: hint:  bottle stop demo-aaaaa\n",
		},
		{
			"the guest's code, and something is left", errors.Join(exitWith(3), leftover), 3,
			"bottle: error: demo-aaaaa was not removed completely: undoing the bundle: stuck\nbottle: hint:  bottle stop demo-aaaaa\n",
		},
		{
			"causes have their say first, and once", &launch.LeftoverError{Identity: "demo-aaaaa", Err: errors.Join(down, down)}, 1,
			"bottle: error: demo-aaaaa was not removed completely: Docker does not answer\nbottle:        Docker does not answer\n" +
				"bottle: hint:  go tool mage setup\nbottle: hint:  bottle stop demo-aaaaa\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := report(&stderr, test.err); code != test.code || stderr.String() != test.want {
				t.Errorf("report() = %d, %q; want %d, %q", code, stderr.String(), test.code, test.want)
			}
		})
	}
}

func TestAgainCanBePasted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typed []string
		want  string
	}{
		{[]string{"start", "demo"}, "bottle start demo --yes"},
		{[]string{"start", "--manifest=./a.toml", "demo"}, "bottle start --manifest=./a.toml demo --yes"},
		{[]string{"start", "--manifest", "my file; rm -rf ~", "demo"}, "bottle start --manifest 'my file; rm -rf ~' demo --yes"},
		{[]string{"start", "it's", ""}, `bottle start 'it'\''s' '' --yes`},
	} {
		s := &session{typed: test.typed}
		if got := s.again("--yes"); got != test.want {
			t.Errorf("again(%q) = %s, want %s", test.typed, got, test.want)
		}
	}
}

func TestInsteadCanBePasted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		typed, args []string
		wrong, want string
	}{
		{[]string{"plan", "dmeo"}, []string{"dmeo"}, "dmeo", "bottle plan demo"},
		{[]string{"start", "--manifest", "dmeo", "dmeo", "--yes"}, []string{"dmeo"}, "dmeo", "bottle start --manifest dmeo demo --yes"},
		{[]string{"start", "--yes"}, nil, "", "bottle start --yes demo"},
		{[]string{"start", "", "--yes"}, []string{""}, "", "bottle start demo --yes"},
		{[]string{"resume", "dmeo-x7k2p"}, []string{"dmeo-x7k2p"}, "dmeo", ""}, // it was not typed
	} {
		s := &session{typed: test.typed, args: test.args}
		if got := s.instead(test.wrong, "demo"); got != test.want {
			t.Errorf("instead(%q, %q) = %s, want %s", test.typed, test.wrong, got, test.want)
		}
	}
}
