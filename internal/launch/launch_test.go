package launch_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
)

// effects are what a launch does outside of its own directory, and how each failure
// reads. Machine and bundle start side by side, so neither has an order to the other.
func effects() map[string]string {
	return map[string]string{
		"artifact": "injected failure",
		"create":   "creating the machine: injected failure",
		"start":    "starting the machine: injected failure",
		"bundle":   "injected failure",
		"files":    "provisioning: the guest reported no exit code: injected failure",

		"workspace": "injected failure",
	}
}

func TestFailureAtEveryEffectLeavesNothing(t *testing.T) {
	t.Parallel()
	for effect, want := range effects() {
		t.Run(effect, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fail = effect
			bottle, err := w.start(t.Context())
			if bottle != nil || err == nil || err.Error() != want || !errors.Is(err, errInjected) {
				t.Errorf("Start() = %v, %v; want %q", bottle, err, want)
			}
			w.nothingLeft()
			w.reverseOrder()
		})
	}
}

func TestInterruptAtEveryEffectLeavesNothing(t *testing.T) {
	t.Parallel()
	interrupt := errors.New("interrupt signal received")
	blocked := []string{"health"}
	for effect := range effects() {
		blocked = append(blocked, effect)
	}
	for _, effect := range blocked {
		t.Run(effect, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.block = effect
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				<-w.stuck
				cancel(interrupt)
			}()
			bottle, err := w.start(ctx)
			// The reason alone: what was cut short is no news. An undoing that waited for its
			// whole time would say so.
			if bottle != nil || !errors.Is(err, interrupt) || err.Error() != interrupt.Error() {
				t.Errorf("Start() = %v, %v; want the interrupt", bottle, err)
			}
			w.nothingLeft()
			w.reverseOrder()
		})
	}
}

// reverseOrder checks that nothing was done any more after the undoing began, and that
// what was there first, which the caller opened, went last. [world] checks what must
// still be there at each step, and nothingLeft that none is missing.
func (w *world) reverseOrder() {
	w.t.Helper()
	undo := []string{"delete", "close", "release"}
	calls := w.called()
	first := slices.IndexFunc(calls, func(call string) bool { return slices.Contains(undo, call) })
	for i, call := range calls[first:] {
		if !slices.Contains(undo, call) || (call == "release") != (first+i == len(calls)-1) {
			w.t.Errorf("calls in the order %v", calls)
			return
		}
	}
}

func TestStartInItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := w.called()
	at := func(name string) int { return slices.Index(calls, name) }
	if !slices.IsSorted([]int{at("artifact"), at("create"), at("start"), at("health"), at("files"), at("workspace")}) ||
		at("bundle") < 0 || at("bundle") > at("health") {
		t.Errorf("calls %v: the firewall is proved after machine and bundle, and before anything goes in", calls)
	}
	instance, err := w.state.Open(names.Identity(w.plan.Identity))
	if err != nil {
		t.Fatal(err)
	}
	status, err := instance.Status()
	if err != nil || status.Phase != state.Running || status.PID != os.Getpid() || !instance.Owned() {
		t.Errorf("status %+v, %v, owned %v", status, err, instance.Owned())
	}
	var out output
	if code, err := bottle.Run(t.Context(), out.stdio()); code != 0 || err != nil {
		t.Errorf("Run() = %d, %v", code, err)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
	receipt := bottle.Receipt()
	for _, line := range []string{
		"receipt of demo-aaaaa (smolvm 1.9.3, firewall builtin)\n",
		"  allowed  echo.bottle.test:443  once\n",
		" passed, 12 uncontrolled\n",
		" reached by the host itself; 0 connections from elsewhere\n",
	} {
		if !strings.Contains(receipt, line) {
			t.Errorf("the receipt lacks %q:\n%s", line, receipt)
		}
	}
}

// SECURITY-RULES 12: values reach the guest on a stream, never on a command line; the
// credentials of routes and remotes reach it not at all.
func TestNoValueOnAnyCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out output
	if _, err := bottle.Run(t.Context(), out.stdio()); err != nil {
		t.Error(err)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
	key := w.spec.Key.Reveal()
	private := map[string]string{
		"host variable": envValue, "answer": answerValue, "literal": literal, "prompt": strings.TrimSpace(prompt),
		"key": string(key), "key in hex": hex.EncodeToString(key), "key in base64": base64.StdEncoding.EncodeToString(key),
		"private key of ssh, egress or echo": "PRIVATE KEY",
		"token":                              apiToken, "token in base64": base64.StdEncoding.EncodeToString([]byte(apiToken)),
	}
	shown := strings.Join(w.argv, "\n")
	if !strings.Contains(shown, "bottle-demo\n--loud") || !strings.Contains(shown, "8888.sock") {
		t.Fatalf("the fake does not see command lines:\n%s", shown)
	}
	for what, value := range private {
		if strings.Contains(shown, value) {
			t.Errorf("the %s is on a command line", what)
		}
	}
	sent := strings.Join(w.archives, "")
	for _, value := range []string{envValue, answerValue, literal, strings.TrimSpace(prompt)} {
		if !strings.Contains(sent, value) {
			t.Errorf("%q did not reach the guest", value)
		}
	}
	for _, what := range []string{"key", "private key of ssh, egress or echo", "token", "token in base64"} {
		if strings.Contains(sent, private[what]) {
			t.Errorf("the %s went into the guest", what)
		}
	}
}

// What is on the host's disk is for other processes to read: no value is in it.
func TestNoValueInTheInstanceDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.full()
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(w.state.Dir(), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		seen++
		data, err := os.ReadFile(path)
		for _, value := range []string{envValue, answerValue, string(w.spec.Key.Reveal()), "PRIVATE KEY", apiToken} {
			if bytes.Contains(data, []byte(value)) {
				t.Errorf("%s holds %.12q", path, value)
			}
		}
		if info, _ := entry.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil || seen < 4 {
		t.Errorf("%d files, %v", seen, err)
	}
	if err := bottle.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTwoBottlesOfOneAgent(t *testing.T) {
	t.Parallel()
	one, other := newWorld(t), newWorld(t)
	other.state, other.plan.Identity, other.plan.VM.Name = one.state, "demo-bbbbb", "bottle-demo-bbbbb"
	first, err := one.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one.spec.Key.Reveal(), other.spec.Key.Reveal()) {
		t.Error("two bottles have one key")
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if len(other.sockets()) != 2 || other.instance(state.StatusFile) == nil {
		t.Error("the end of one took something from the other")
	}
	var out output
	if code, err := second.Run(t.Context(), out.stdio()); code != 0 || err != nil {
		t.Errorf("the other's agent: %d, %v", code, err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	one.nothingLeft()
	other.nothingLeft()
}
