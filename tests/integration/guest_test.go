//go:build integration

package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/guestapi"
	"bottle.internal/tests/eventually"
)

// One of the five: a command goes in, its streams and its exit code come out.
func TestExecRoundTrip(t *testing.T) {
	l := theBottle(t)
	for name, c := range map[string]struct {
		script, stdout, stderr string
		code                   int
	}{
		"streams":            {"echo out; echo err >&2", "out\n", "err\n", 0},
		"exit code":          {"exit 42", "", "", 42},
		"killed by a signal": {"kill -TERM $$", "", "", 143},
		"no such command":    {"exec nosuchprogram", "", "sh: 1: exec: nosuchprogram: not found\n", 127},
		"who":                {"id -u; id -un; pwd; echo $HOME", "1000\nagent\n/home/agent/work\n/home/agent\n", "", 0},
		"the manifest's env": {"echo $IT_SECRET $IT_LITERAL", secretValue + " zq7-it-literal-77\n", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := l.exec(t, "sh", "-c", c.script)
			if got.Code != c.code || got.Stdout != c.stdout || got.Stderr != c.stderr {
				t.Errorf("want exit %d, %q and %q, got %s", c.code, c.stdout, c.stderr, got)
			}
		})
	}
}

// Arguments are not words of a shell.
func TestExecArguments(t *testing.T) {
	l := theBottle(t)
	odd := []string{"", "a b", "$HOME", "'", `"`, "\\", "-x", "--", "new\nline", "*"}
	want := strings.Join(odd, "|") + "|"
	if got := l.exec(t, append([]string{"printf", "%s|"}, odd...)...); got.Stdout != want {
		t.Errorf("want %q, got %s", want, got)
	}
}

// The probe itself came through stdin: every byte value in 6 MB, to the end of the file.
func TestExecStdin(t *testing.T) {
	l := theBottle(t)
	local, err := exec.Command("sha256sum", l.probe).Output()
	if err != nil {
		t.Fatal(err)
	}
	remote := l.sh(t, "sha256sum "+guestProbe)
	if a, b := strings.Fields(string(local))[0], strings.Fields(remote)[0]; a != b {
		t.Errorf("sent %s, arrived as %s", a, b)
	}
	// A stdin that stays open does not keep a command that does not read it.
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	p, err := l.start(reader, "exec", l.id, "--", "true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	if code := p.end(t, 30*time.Second); code != 0 {
		t.Errorf("exit %d: %s", code, p)
	}
}

// SIGINT to a second process ends its command, and nothing else.
func TestExecSignal(t *testing.T) {
	l := theBottle(t)
	p, err := l.start(nil, "exec", l.id, "--", "sh", "-c", "echo begun; exec sleep 4321")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	p.said(t, "begun")
	if err := p.group(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t, time.Minute); code != 130 {
		t.Errorf("exit %d, want 130: %s", code, p)
	}
	eventually.Fine(t, eventually.Patience, func() string { return l.exec(t, "pgrep", "-af", "sleep 432[1]").Stdout })
	if got := l.sh(t, "pgrep -u agent -x sleep | wc -l"); got != "1" {
		t.Errorf("the agent's own sleep: %s processes", got)
	}
}

func TestExecOfWhatIsNotThere(t *testing.T) {
	w := setup(t)
	got := w.bottle(t, "exec", "it-probed-00000", "--", "true")
	want := "bottle: error: there is no bottle it-probed-00000\nbottle: hint:  bottle list\n"
	if got.Code != 1 || got.Stdout != "" || got.Stderr != want {
		t.Errorf("want exit 1 and %q, got %s", want, got)
	}
}

// One of the five: the prompt is there, the agent's own, and nobody else's.
func TestPromptFile(t *testing.T) {
	l := theBottle(t)
	got := l.sh(t, `stat -c '%U:%G %a %n' "$BOTTLE_PROMPT_FILE" && cat "$BOTTLE_PROMPT_FILE"`)
	if want := "agent:agent 600 " + guestapi.PromptFile + "\nStay where you are."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The guest has no way out but the sockets: no device, no route, no resolver.
func TestGuestHasNoNetwork(t *testing.T) {
	l := theBottle(t)
	for script, want := range map[string]string{
		"ls /sys/class/net":                        "lo",
		"tail -n +2 /proc/net/route":               "",
		"awk '$NF != \"lo\"' /proc/net/ipv6_route": "",
		"ip -o link | wc -l":                       "1",
		"ip -o addr | awk '{print $4}' | sort -u":  "127.0.0.1/8\n::1/128",
		"ls /sys/bus/pci/drivers/virtio-pci/../../devices/*/virtio*/net 2>/dev/null": "",
	} {
		if got := l.sh(t, script+" || true"); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	// The control is the same question where there is a resolver.
	if got := l.probeBeside(t, "lookup", "up.bottle.test"); !strings.HasPrefix(got, "up.bottle.test: 1") {
		t.Fatalf("the control: %s", got)
	}
	want := "up.bottle.test: no address\nlocalhost.localdomain.test: no address"
	if got := l.probeGuest(t, "lookup", "up.bottle.test", "localhost.localdomain.test"); got != want {
		t.Errorf("names: %q, want %q", got, want)
	}
}

// The environment's file is root's; the agent gets the values, not the file.
func TestEnvFile(t *testing.T) {
	l := theBottle(t)
	root := l.good(t, "exec", "--root", l.id, "--", "stat", "-c", "%U:%G %a", guestapi.EnvFile)
	if root.Stdout != "root:root 600\n" {
		t.Errorf("%s is %q", guestapi.EnvFile, root.Stdout)
	}
	// The control: root finds the value there.
	if got := l.good(t, "exec", "--root", l.id, "--", "cat", guestapi.EnvFile); !strings.Contains(got.Stdout, secretValue) {
		t.Errorf("the value is not in the file: %s", got)
	}
	if got := l.exec(t, "cat", guestapi.EnvFile); got.Code != 1 || got.Stdout != "" {
		t.Errorf("as the agent: %s", got)
	}
}

// Rule 12: no value of the environment is ever on a command line. The sampler ran while
// the bottle started, and runs here during commands.
func TestNoValueOnACommandLine(t *testing.T) {
	l := theBottle(t)
	l.cmdlines.start()
	for range 3 {
		if got := l.exec(t, "sh", "-c", `test -n "$IT_SECRET" && sleep 0.2`); got.Code != 0 {
			t.Error(got)
		}
	}
	l.cmdlines.stop()
	// The controls: it was quick enough to see the VM tool's own children at work.
	for _, control := range []string{"start " + sharedAgent, "machine start", "machine exec", "bottle-guest exec", "test -n"} {
		if len(l.cmdlines.with(control)) == 0 {
			t.Errorf("the control: no command line with %q in %d looks", control, l.cmdlines.rounds)
		}
	}
	for _, value := range []string{secretValue, "zq7-it-literal-77"} {
		for _, line := range l.cmdlines.with(value) {
			t.Errorf("a value is on a command line: %s", line)
		}
	}
}

// Everything of every kind passes an exec's streams unchanged, both ways at once.
func TestExecBinary(t *testing.T) {
	l := theBottle(t)
	var data bytes.Buffer
	n := big.NewInt(3)
	for data.Len() < 4<<20 {
		n.Mul(n, n)
		if n.BitLen() > 1<<16 {
			n.SetInt64(int64(data.Len()) + 7)
		}
		data.Write(n.Bytes())
	}
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	p, err := l.start(bytes.NewReader(data.Bytes()), "exec", l.id, "--", "cat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	if code := p.end(t, time.Minute); code != 0 {
		t.Fatalf("exit %d: %s", code, p.stderr.String())
	}
	if got := p.stdout.String(); len(got) != data.Len() || sum([]byte(got)) != sum(data.Bytes()) {
		t.Errorf("%d bytes in, %d other ones out", data.Len(), len(got))
	}
}
