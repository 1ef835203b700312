package smolvm_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/pkg/smolvm"
)

func TestEnviron(t *testing.T) {
	t.Parallel()
	got := smolvm.Environ([]string{
		"HOME=/home/me", "PATH=/usr/bin", "LC_ALL=C.UTF-8", "XDG_DATA_HOME=/d", "TMPDIR=/t", "EMPTY=", "NOT_AN_ENTRY",
		"SMOLVM_LITE_KERNEL=/k", "SMOLVM_AGENT_ROOTFS=/shared",
		"HTTPS_PROXY=http://u:p@proxy.test", "https_proxy=x", "HTTP_PROXY=x", "http_proxy=x", "ALL_PROXY=x", "NO_PROXY=x", "no_proxy=x",
		"DOCKER_CONFIG=/x", "SMOLVM_EXTRA_DISK=/dev/sda", "SMOLVM_BOOT_WATCH_PARENT=1", "SMOLVM_BOOT_BINARY=/x",
		"SMOLVM_PUBLISH_ADDR=0.0.0.0", "SMOLVM_EGRESS_FLOOR=off", "SMOLVM_ALLOW_HOST_LOOPBACK=1", "SMOLVM_VM_UID_DROP=0",
		"SMOLVM_SECCOMP=off", "LD_PRELOAD=/x.so", "ANTHROPIC_API_KEY=sk-1", "GITHUB_TOKEN=x", "SSH_AUTH_SOCK=/x",
	}, map[string]string{"SMOLVM_AGENT_ROOTFS": "/own", "SMOLVM_LANDLOCK": "off", "EXTRA": "1"})
	want := []string{
		"EXTRA=1", "HOME=/home/me", "LC_ALL=C.UTF-8", "PATH=/usr/bin", "SMOLVM_AGENT_ROOTFS=/own", "SMOLVM_LANDLOCK=enforce",
		"SMOLVM_LITE_KERNEL=/k", "SMOLVM_SECCOMP=enforce", "TMPDIR=/t", "XDG_DATA_HOME=/d",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got)\n%s", diff)
	}
}

func TestReadComplaint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stderr, text string
		kind         error
	}{
		{"", "", nil},
		{"Starting machine 'x'...\n", "", nil},
		{"not an Error: vm not found: x\n", "", nil},
		{"Error: vm not found: x\n", "vm not found: x", smolvm.ErrNotFound},
		{"Error: config operation failed: machine status: machine 'x' not found\n", "config operation failed: machine status: machine 'x' not found", smolvm.ErrNotFound},
		{"Starting...\nError: config operation failed: create machine: machine 'x' already exists\n", "config operation failed: create machine: machine 'x' already exists", smolvm.ErrExists},
		{"Error: agent operation failed: connect: machine 'x' is not running. Use 'smolvm machine start --name x' first.", "agent operation failed: connect: machine 'x' is not running. Use 'smolvm machine start --name x' first.", smolvm.ErrNotRunning},
		{"Error: agent operation failed: start agent: another process is already starting or running this VM", "agent operation failed: start agent: another process is already starting or running this VM", smolvm.ErrBusy},
		{"Error: kvm not available: KVM not available.\nTry: sudo modprobe kvm\n", "kvm not available: KVM not available.\nTry: sudo modprobe kvm", smolvm.ErrKVM},
		{"Error: agent operation failed: start machine: kvm permission denied: Cannot access /dev/kvm", "agent operation failed: start machine: kvm permission denied: Cannot access /dev/kvm", smolvm.ErrKVM},
		{"Error: pack failed\ncaused by: No space left on device (os error 28)", "pack failed\ncaused by: No space left on device (os error 28)", smolvm.ErrNoSpace},
		{"Error: one\nError: vm not found: two", "vm not found: two", smolvm.ErrNotFound},
		{"Error: something new\n", "something new", nil},
		// What the guest logged while it booted must not decide.
		{
			"Error: start machine: monitor agent: booting\nError: vm not found: x\nkvm not available",
			"start machine: monitor agent: booting\nError: vm not found: x\nkvm not available", nil,
		},
		{"Error: start machine: monitor agent: No space left on device", "start machine: monitor agent: No space left on device", nil},
	} {
		got, kind := smolvm.ReadComplaint(test.stderr)
		if got != test.text || !errors.Is(kind, test.kind) || (kind == nil) != (test.kind == nil) {
			t.Errorf("%q: %q, %v", test.stderr, got, kind)
		}
	}
}

func FuzzReadComplaint(f *testing.F) {
	f.Add("Error: vm not found: x\x1b[2J\n")
	f.Add("x\nError: monitor agent: \nError: kvm not available")
	f.Fuzz(func(t *testing.T, stderr string) {
		complaint, kind := smolvm.ReadComplaint(stderr)
		if kind != nil && complaint == "" {
			t.Errorf("%q: %v without a text", stderr, kind)
		}
		shown := smolvm.Clean(complaint)
		if !utf8.ValidString(shown) || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) {
			t.Errorf("%q would be printed", shown)
		}
		if len(shown) > 5<<10 {
			t.Errorf("%d bytes would be printed", len(shown))
		}
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" a\tb\nc \n":            "a\tb\nc",
		"\x1b]0;title\x07x":      `\u001b]0;title\u0007x`,
		"a\r\x00\x7f\u0085é":     `a\u000d\u0000\u007f\u0085é`,
		"a\u202eb\u200bc":        `a\u202eb\u200bc`,
		"bad\xffbyte":            "bad\uFFFDbyte",
		strings.Repeat("x", 9e3): strings.Repeat("x", 4097) + "...",
	} {
		if got := smolvm.Clean(in); got != want {
			t.Errorf("%.40q: %q", in, got)
		}
	}
}

func TestDecodeMachine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		data string
		want smolvm.Machine
		err  string
	}{
		{
			`{"name":"x","state":"running","pid":77,"cpus":2,"memory_mib":512,"image":null,"labels":{"a":"b"},"network":false,"later":[{}]}`,
			smolvm.Machine{Name: "x", State: "running", PID: 77, CPUs: 2, MemMiB: 512, Labels: map[string]string{"a": "b"}},
			"",
		},
		// The record keeps the id of a dead process.
		{`{"name":"x","state":"stopped","pid":77,"network":false}`, smolvm.Machine{Name: "x", State: "stopped"}, ""},
		{`{"name":"x","state":"running","pid":1,"network":false}`, smolvm.Machine{Name: "x", State: "running"}, ""},
		{`{"name":"x","state":"running","pid":-5,"network":false}`, smolvm.Machine{Name: "x", State: "running"}, ""},
		{`{"name":"x","state":"thawing","pid":77,"network":false}`, smolvm.Machine{Name: "x", State: "thawing", PID: 77}, ""},
		// What is absent or of another type is not known; an unknown network is one.
		{`{"name":"x"}`, smolvm.Machine{Name: "x", Network: true}, ""},
		{`{"name":"x","state":7,"pid":"7","labels":["a"],"network":"no","cpus":1e99}`, smolvm.Machine{Name: "x", Network: true}, ""},
		{`{"Name":"x","Network":false}`, smolvm.Machine{}, "reading a machine: it has no name"},
		{`{"name":null}`, smolvm.Machine{}, "reading a machine: it has no name"},
		{`{}`, smolvm.Machine{}, "reading a machine: it has no name"},
		{`null`, smolvm.Machine{}, "reading a machine: it has no name"},
		{``, smolvm.Machine{}, "reading a machine: unexpected end of JSON input"},
		{`{"name":"x"}{"name":"y"}`, smolvm.Machine{}, "reading a machine: invalid character '{' after top-level value"},
	} {
		got, err := smolvm.DecodeMachine([]byte(test.data))
		if diff := cmp.Diff(test.want, got); diff != "" || text(err) != test.err {
			t.Errorf("%s: error %v (-want +got)\n%s", test.data, err, diff)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for state, want := range map[smolvm.State]struct{ running, dead bool }{
		smolvm.StateCreated: {false, true}, smolvm.StateStopped: {false, true}, smolvm.StateFailed: {false, true},
		smolvm.StateRunning: {true, false}, smolvm.StateUnreachable: {false, false}, smolvm.StateFrozen: {false, false},
		"thawing": {false, false}, "": {false, false}, "Running": {false, false},
	} {
		machine := smolvm.Machine{State: state}
		if machine.Running() != want.running || smolvm.MachineDead(machine) != want.dead {
			t.Errorf("%q: running %t, dead %t", state, machine.Running(), smolvm.MachineDead(machine))
		}
	}
}

func FuzzDecodeMachines(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"name":"x","state":"running","pid":77,"network":false}]`))
	f.Add([]byte(`[{"name":"x","pid":1e400,"labels":{"a":null}},null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		machines, err := smolvm.DecodeMachines(data)
		if err != nil && machines != nil {
			t.Errorf("%q: machines and error %v", data, err)
		}
		for _, machine := range machines {
			if machine.Name == "" || machine.PID < 0 || machine.PID == 1 {
				t.Errorf("%q: %+v", data, machine)
			}
		}
	})
}
