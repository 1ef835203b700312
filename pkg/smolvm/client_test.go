package smolvm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
	"bottle.internal/tests/eventually"
)

// bench is a fake, a client of it, and a machine "demo".
type bench struct {
	*smolvmtest.Fake
	client *smolvm.Client
}

func newBench(t *testing.T, options smolvmtest.Options) *bench {
	t.Helper()
	fake := smolvmtest.New(t, options)
	config := fake.Config()
	config.Patience = eventually.Patience
	return &bench{fake, smolvm.New(config)}
}

func (b *bench) create(t *testing.T) {
	t.Helper()
	if err := b.client.Create(t.Context(), smolvm.CreateOptions{Name: "demo", From: b.Artifact(smolvmtest.Manifest{})}); err != nil {
		t.Fatal(err)
	}
}

// start also returns the VMM's process.
func (b *bench) start(t *testing.T) int {
	t.Helper()
	b.create(t)
	if err := b.client.Start(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	machine, err := b.client.Status(t.Context(), "demo")
	if err != nil || machine.PID == 0 {
		t.Fatalf("%+v, %v", machine, err)
	}
	return machine.PID
}

// impatient makes waits for what will not happen short.
func (b *bench) impatient() {
	config := b.Config()
	config.Patience, config.Grace = 50*time.Millisecond, 200*time.Millisecond
	b.client = smolvm.New(config)
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, version, want string }{
		{"smolvm", "1.9.3", ""},
		{"smolvm", "1.8.1", ""},
		{"smolvm-lite", "1.9.3", ""},
		{"smolvm", "1.0.2", "smolvm 1.0.2 cannot be used: version 1.8.1 or later is needed"},
	} {
		fake := smolvmtest.New(t, smolvmtest.Options{Name: test.name, Version: test.version})
		got, err := smolvm.Detect(t.Context(), fake.Path(), smolvm.Environ(nil, fake.Vars()))
		first, _, _ := strings.Cut(text(err), " (")
		if got.Name != test.name || got.Version.String() != test.version || got.Path != fake.Path() || first != test.want {
			t.Errorf("%s %s: %+v, %v", test.name, test.version, got, err)
		}
		versionError := (*smolvm.VersionError)(nil)
		if test.want != "" && (!errors.As(err, &versionError) || versionError.Min.String() != "1.8.1" || versionError.Actual.String() != test.version) {
			t.Errorf("%s: %#v", test.version, err)
		}
	}
	if _, err := smolvm.Detect(t.Context(), "no-such-program-of-ours", nil); !errors.Is(err, execx.ErrNotFound) {
		t.Errorf("a program that does not exist: %v", err)
	}
	fake := smolvmtest.New(t, smolvmtest.Options{})
	fake.Fail("--version", smolvmtest.Garbage, 1)
	if got, err := smolvm.Detect(t.Context(), fake.Path(), smolvm.Environ(nil, fake.Vars())); err == nil {
		t.Errorf("garbage is %+v", got)
	}
}

func TestEnvironmentAndInputOfCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	b.start(t)
	if err := b.client.Delete(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	want := []string{"FAKE_SMOLVM_NAME", "FAKE_SMOLVM_STATE", "FAKE_SMOLVM_VERSION", "GORACE", "SMOLVM_LANDLOCK", "SMOLVM_SECCOMP"}
	for _, call := range b.Calls() {
		got := slices.DeleteFunc(call.Env, func(name string) bool { return name == "GOCOVERDIR" })
		if diff := cmp.Diff(want, got); diff != "" || call.Stdin != "null" || call.Group == syscall.Getpgrp() {
			t.Errorf("%q: stdin %s, group %d, environment (-want +got)\n%s", call.Args, call.Stdin, call.Group, diff)
		}
	}
}

func TestCreateMustGiveWhatWasAsked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		manifest smolvmtest.Manifest
		ask      smolvm.CreateOptions
		want     string
	}{
		{smolvmtest.Manifest{CPUs: 2, MemMiB: 512}, smolvm.CreateOptions{}, ""},
		{smolvmtest.Manifest{CPUs: 4, MemMiB: 8192}, smolvm.CreateOptions{CPUs: 4, MemMiB: 8192}, ""},
		{smolvmtest.Manifest{CPUs: 2}, smolvm.CreateOptions{CPUs: 4}, "creating machine demo: it has 2 cpus, not 4: to get exactly that number, pack the artifact with it"},
		{smolvmtest.Manifest{MemMiB: 512}, smolvm.CreateOptions{MemMiB: 8192}, "creating machine demo: it has 512 MiB of memory, not 8192: to get exactly that much, pack the artifact with it"},
		{smolvmtest.Manifest{Network: true}, smolvm.CreateOptions{}, "creating machine demo: it would have a network, and ours have none: ARTIFACT was packed with one"},
	} {
		b := newBench(t, smolvmtest.Options{})
		test.ask.Name, test.ask.From = "demo", b.Artifact(test.manifest)
		err := b.client.Create(t.Context(), test.ask)
		if want := strings.ReplaceAll(test.want, "ARTIFACT", test.ask.From); text(err) != want {
			t.Errorf("%+v from %+v: error %v, want %q", test.ask, test.manifest, err, want)
		}
		machines, listErr := b.client.List(t.Context())
		if listErr != nil || (err == nil) != (len(machines) == 1) {
			t.Errorf("after %v: %+v, %v", err, machines, listErr)
		}
	}
}

func TestCreatePassesSocketsAndLabels(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	err := b.client.Create(t.Context(), smolvm.CreateOptions{
		Name: "demo", From: b.Artifact(smolvmtest.Manifest{}), Labels: map[string]string{"bottle.identity": "demo-x7k2p"},
		Sockets: []smolvm.Socket{{Host: "/s/8888.sock", Guest: "/run/bottle/8888.sock"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := b.client.Status(t.Context(), "demo")
	if err != nil || machine.Labels["bottle.identity"] != "demo-x7k2p" {
		t.Errorf("%+v, %v", machine, err)
	}
}

func TestUnreadableAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	for _, test := range []struct{ how, status, list string }{
		{smolvmtest.Garbage, "asking about machine demo: reading a machine: invalid character '\\x00' looking for beginning of value", "listing machines: reading the list of machines: invalid character '\\x00' looking for beginning of value"},
		{smolvmtest.Flood, "asking about machine demo: smolvm answered with more than 8388608 bytes", "listing machines: smolvm answered with more than 8388608 bytes"},
	} {
		b.Fail("machine status", test.how, 1)
		b.Fail("machine ls", test.how, 1)
		if _, err := b.client.Status(t.Context(), "demo"); text(err) != test.status {
			t.Errorf("Status: error %v, want %q", err, test.status)
		}
		if _, err := b.client.List(t.Context()); text(err) != test.list {
			t.Errorf("List: error %v, want %q", err, test.list)
		}
	}
	b.Fail("machine status", smolvmtest.Mixup, 1)
	machine, err := b.client.Status(t.Context(), "demo")
	if want := `asking about machine demo: smolvm answered about "somebody-else"`; text(err) != want || machine.PID != 0 {
		t.Errorf("Status: %+v, error %v, want %q", machine, err, want)
	}
}

func TestHangsEndWithTheContext(t *testing.T) {
	t.Parallel()
	for _, how := range []string{smolvmtest.Hang, smolvmtest.HangHard} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, smolvmtest.Options{})
			b.impatient()
			b.Fail("machine status", how, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			_, err := b.client.Status(ctx, "demo")
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
}

func TestErrorsAreRedacted(t *testing.T) {
	t.Parallel()
	fake := smolvmtest.New(t, smolvmtest.Options{})
	config := fake.Config()
	config.Redact = []secret.Value{secret.New("hunter2")}
	err := smolvm.New(config).Start(t.Context(), "hunter2")
	if want := "starting machine hunter2: smolvm: vm not found: [redacted]"; text(err) != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestPackCreate(t *testing.T) {
	t.Parallel()
	b := newBench(t, smolvmtest.Options{})
	dir := t.TempDir()
	output := filepath.Join(dir, "agent")
	artifact := output + smolvm.ArtifactSuffix
	var progress bytes.Buffer
	options := smolvm.PackOptions{Image: "127.0.0.1:5000/agent", Output: output, CPUs: 4, MemMiB: 512, Progress: &progress}
	if err := b.client.PackCreate(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(progress.String(), "Packing 127.0.0.1:5000/agent...\n") || !strings.Contains(progress.String(), "Pulling 127.0.0.1:5000/agent\n") {
		t.Errorf("progress %q", progress.String())
	}
	if err := b.client.Create(t.Context(), smolvm.CreateOptions{Name: "demo", From: artifact, CPUs: 4, MemMiB: 512}); err != nil {
		t.Errorf("booting the artifact: %v", err)
	}
	// The old artifact must not pass for the new one.
	for how, want := range map[string]string{
		smolvmtest.NoSpace: "packing 127.0.0.1:5000/agent: smolvm: pack failed: write layer: No space left on device (os error 28)",
		smolvmtest.Noop:    "packing 127.0.0.1:5000/agent: smolvm reported success without an artifact: lstat " + artifact + ": no such file or directory",
	} {
		if err := os.WriteFile(artifact, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.Fail("pack create", how, 1)
		err := b.client.PackCreate(t.Context(), options)
		if text(err) != want || errors.Is(err, smolvm.ErrNoSpace) != (how == smolvmtest.NoSpace) {
			t.Errorf("%s: error %v, want %q", how, err, want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%s left %v, %v", how, entries, err)
		}
	}
}

// alive does not count zombies.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		return !strings.Contains(string(stat), ") Z ")
	}
	return syscall.Kill(pid, 0) == nil
}
