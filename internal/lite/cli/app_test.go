//go:build linux

package cli_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/cli"
	"bottle.internal/internal/lite/store"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/golden"
)

// app runs a command line in this process, with a HOME that holds nothing.
func app(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	a := &cli.App{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Self: filepath.Join(home, "smolvm-lite"),
		Getenv: func(key string) string {
			if value, ok := env[key]; ok || key != "HOME" {
				return value
			}
			return home
		},
	}
	code := a.Run(t.Context(), args)
	return result{stdout: strings.ReplaceAll(stdout.String(), home, "~"), stderr: strings.ReplaceAll(stderr.String(), home, "~"), code: code}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	const more = "\n\nFor more information, try '--help'.\n"
	for line, want := range map[string]string{
		"":                                   "'smolvm-lite' requires a subcommand but one was not provided",
		"serve":                              "unrecognized subcommand 'serve'",
		"--verbose":                          "unexpected argument '--verbose' found",
		"machine":                            "a subcommand is required",
		"machine fork":                       "unrecognized subcommand 'fork'",
		"pack --from":                        "unexpected argument '--from' found",
		"machine create demo --from x":       "unexpected argument 'demo' found",
		"machine create --gpu":               "unexpected argument '--gpu' found",
		"machine create -v /a:/b":            "unexpected argument '-v' found",
		"machine create --cpus 0 --from x":   "invalid value '0' for '--cpus <VALUE>': expected a number from 1 to 255",
		"machine create --cpus 256":          "invalid value '256' for '--cpus <VALUE>': expected a number from 1 to 255",
		"machine create --mem 63":            "invalid value '63' for '--mem <VALUE>': expected a number of at least 64",
		"machine create --name":              "a value is required for '--name <VALUE>' but none was supplied",
		"machine create --from a --image b":  "the argument '--from <PATH>' cannot be used with '--image <IMAGE>'",
		"machine start demo":                 "unexpected argument 'demo' found",
		"machine stop --force":               "unexpected argument '--force' found",
		"machine delete --force":             "the following required arguments were not provided:\n  --name <NAME>",
		"machine rm demo --force":            "unexpected argument 'demo' found",
		"vm status --jsno":                   "unexpected argument '--jsno' found",
		"machine exec -n demo -- true":       "unexpected argument '-n' found",
		"machine exec --name demo":           "the following required arguments were not provided:\n  <COMMAND>...",
		"machine exec --user x -- true":      "unexpected argument '--user' found",
		"machine exec --timeout 0s -- true":  "invalid value '0s' for '--timeout <VALUE>': duration must be greater than zero",
		"machine exec --timeout 30 -- true":  "invalid value '30' for '--timeout <VALUE>': expected a duration such as 30s, 5m or 1h30m",
		"machine exec --timeout -1s -- true": "invalid value '-1s' for '--timeout <VALUE>': expected a duration such as 30s, 5m or 1h30m",
		"machine cp a":                       "the following required arguments were not provided:\n  <SRC> <DST>",
		"machine cp a b c":                   "unexpected argument 'c' found",
		"machine cp --mode 9 a b":            "invalid value '9' for '--mode <MODE>': expected an octal number",
		"pack create --image x":              "the following required arguments were not provided:\n  --output <OUTPUT>",
		"pack create --output x":             "the following required arguments were not provided:\n  --image <IMAGE>",
		"pack create x --image y --output z": "unexpected argument 'x' found",
	} {
		check(t, app(t, nil, strings.Fields(line)...), result{code: 2, stderr: "error: " + want + more})
	}
}

func TestNetworkIsRefused(t *testing.T) {
	t.Parallel()
	for line, flag := range map[string]string{
		"machine create --net --from x":                 "--net",
		"machine create --from x -p 8080:80":            "-p",
		"machine create --from x -p8080:80":             "-p",
		"machine create --port=80 --from x":             "--port",
		"machine create --from x --allow-cidr 10.0.0.1": "--allow-cidr",
		"machine create --from x --allow-host a.test":   "--allow-host",
		"machine create --outbound-localhost-only":      "--outbound-localhost-only",
		"machine create --net-backend tsi":              "--net-backend",
		"machine create --dns 192.0.2.1":                "--dns",
		"machine create --network n":                    "--network",
	} {
		check(t, app(t, nil, strings.Fields(line)...), result{code: 1, stderr: "Error: smolvm-lite has no network device: " +
			flag + " is not supported\n  mount a socket of the host instead: --mount-socket HOST:GUEST\n"})
	}
	// Behind "--" it is the guest's command.
	check(t, app(t, nil, "machine", "exec", "--", "curl", "--net", "-p"), result{code: 1, stderr: "Error: vm not found: default\n"})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	const invalid = "config operation failed: create machine: "
	for line, want := range map[string]string{
		"machine create --name a":                      "smolvm-lite needs an image: pass --from PATH or --image ARCHIVE",
		"machine create --name a --from /no/such":      invalid + "open /no/such: no such file or directory",
		"machine create --from x --mount-socket a":     invalid + "invalid --mount-socket 'a': expected HOST:GUEST with an absolute guest path",
		"machine create --from x --mount-socket /a:b":  invalid + "invalid --mount-socket '/a:b': expected HOST:GUEST with an absolute guest path",
		"machine create --from x --mount-socket a|:/b": invalid + "invalid --mount-socket 'a|:/b': expected HOST:GUEST with an absolute guest path",
		"machine create --from x --mount-socket /a:/s --mount-socket /b:/s": invalid +
			"invalid --mount-socket '/b:/s': the guest path is used twice",
		"machine create --from x --label =v": invalid + "invalid --label '=v': expected KEY=VALUE",
		"machine create --name a--b --from x": invalid + "invalid machine name 'a--b': use 1 to 128 letters, digits, '-' and '_', " +
			"beginning with a letter or digit, without '--' or a '-' at the end",
		"machine create --name a --image docker.test/x": invalid + "--image docker.test/x: smolvm-lite takes only a 'docker save' archive here\n" +
			"  for an image of a registry: smolvm-lite pack create --image REF --output X, then --from X.smolmachine",
		"machine start --name a":                         "vm not found: a",
		"machine start":                                  "vm not found: default",
		"machine stop --name a":                          "vm not found: a",
		"machine delete --name ../x -f":                  "vm not found: ../x",
		"machine status --name a":                        "config operation failed: machine status: machine 'a' not found",
		"machine exec --name a -- true":                  "vm not found: a",
		"machine shell --name a":                         "vm not found: a",
		"machine cp a b":                                 "one of SRC and DST must be NAME:PATH",
		"machine cp a:/x b":                              "vm not found: a",
		"pack create --image x/y --output z.smolmachine": "--output must not end in .smolmachine: it is added to the name",
	} {
		check(t, app(t, nil, strings.Fields(line)...), result{code: 1, stderr: "Error: " + want + "\n"})
	}
	check(t, app(t, nil, "pack", "create", "--image", "images.test/x", "--output", filepath.Join(t.TempDir(), "x")), result{
		code: 1, stderr: "Packing images.test/x...\nError: pulling images.test/x: smolvm-lite pulls only from a registry on this machine, " +
			"not from images.test\n  push the image to one on 127.0.0.1 first\n",
	})
	check(t, app(t, map[string]string{"HOME": ""}, "machine", "ls"), result{
		code: 1, stderr: "Error: neither HOME nor XDG_DATA_HOME is set\n",
	})
}

func TestInformation(t *testing.T) {
	t.Parallel()
	version := "smolvm-lite 1.9.3\nqemu stand-in, accelerator unknown: shows behaviour, not isolation strength\n"
	check(t, app(t, nil, "--version"), result{stdout: version})
	check(t, app(t, nil, "-V"), result{stdout: version})
	check(t, app(t, nil, "machine", "list"), result{stdout: "No machines found\n"})
	check(t, app(t, nil, "vm", "ls", "--json"), result{stdout: "[]\n"})
	for _, line := range []string{"--help", "machine --help", "pack help", "machine create --help", "machine exec -h", "pack create --help"} {
		r := app(t, nil, strings.Fields(line)...)
		if !strings.Contains(r.stdout, "\nUsage: smolvm-lite ") || r.stderr != "" || r.code != 0 {
			t.Errorf("%s: code %d %q %q", line, r.code, r.stdout, r.stderr)
		}
	}
}

// TestMissingKernel is what a person sees first on a fresh machine.
func TestMissingKernel(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	w.must(t, "machine", "create", "--name", "a", "--from", w.artifact)
	empty := t.TempDir()
	w.env = append(w.env, "SMOLVM_LITE_KERNEL="+empty)
	check(t, w.lite(t, "machine", "start", "--name", "a"), result{code: 1, stderr: "Starting machine 'a'...\n" +
		"Error: agent operation failed: start machine: no guest kernel: there is no boot/vmlinuz-*\n" +
		"  looked in " + empty + " (SMOLVM_LITE_KERNEL, else smolvm-lite/kernel in the data directory)\n" +
		"  it must hold boot/vmlinuz-RELEASE and lib/modules/RELEASE of an unpacked kernel package\n" +
		"  to set it up, run: go tool mage setup\n"})
}

// TestSilentGuest boots twice and gives up with what the console said.
func TestSilentGuest(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	w.must(t, "machine", "create", "--name", "a", "--from", w.artifact)
	writeFile(t, filepath.Join(w.dir, "bin/lite-init"), "init that hangs")
	w.env = append(w.env, "SMOLVM_AGENT_READY_TIMEOUT_SECS=1")
	console := filepath.Join(w.dir, "data/smolvm-lite/machines/a/console.log")
	check(t, w.lite(t, "machine", "start", "--name", "a"), result{code: 1, stderr: "Starting machine 'a'...\n" +
		"Error: agent operation failed: start machine: the guest did not become ready in time\n" +
		"  console log: " + console + "\n  | fake console: booting\n  | fake console: booting\n"})
	if got := w.state(t, "a").State; got != "stopped" {
		t.Errorf("state %q", got)
	}
}

// TestStartDies: whatever ends start during the boot ends the boot.
func TestStartDies(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		w := newFakeWorld(t)
		w.must(t, "machine", "create", "--name", "a", "--from", w.artifact)
		writeFile(t, filepath.Join(w.dir, "bin/lite-init"), "init that hangs")
		start, err := execx.Start(t.Context(), execx.Cmd{Path: w.program, Env: w.env, Args: []string{"machine", "start", "--name", "a"}})
		if err != nil {
			t.Fatal(err)
		}
		var run store.Run
		eventually.True(t, "QEMU is started", func() bool {
			run, _, _ = w.machine("a").ReadRun()
			return run.QEMU.Alive()
		})
		if err := start.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := start.Wait(); err == nil {
			t.Error("start succeeded")
		}
		eventually.True(t, "supervisor and QEMU end", func() bool { return !run.Supervisor.Alive() && !run.QEMU.Alive() })
		w.must(t, "machine", "delete", "--name", "a", "--force")
	}
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	w.must(t, "machine", "create", "--name", "a", "--from", w.artifact, "--storage", "5", "--cpus", "2",
		"--label", "bottle.identity=demo-abcde", "--mount-socket", "rel.sock:/run/s.sock")
	var got map[string]any
	if err := json.Unmarshal([]byte(w.must(t, "machine", "status", "--name", "a", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	got["created_at"] = "(a time)"
	got["cmd"] = "(a path)"
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/status.json", string(text)+"\n")
}

func TestForeignArtifact(t *testing.T) {
	t.Parallel()
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	w := newFakeWorld(t)
	w.packFor(t, other, imageFor(t, other, nil))
	check(t, w.lite(t, "machine", "create", "--name", "b", "--from", w.artifact), result{
		code: 1, stdout: "Extracting .smolmachine assets...\n",
		stderr: "Error: config operation failed: create machine: " + w.artifact + " is for linux/" + other +
			", this host runs linux/" + runtime.GOARCH + "\n",
	})
}
