//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/store"
	"bottle.internal/tests/eventually"
)

// background starts a client whose command says "ready" first.
func (w *world) background(t *testing.T, args ...string) *execx.Process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	process, err := execx.Start(t.Context(), execx.Cmd{Path: w.program, Env: w.env, Args: args, Stdout: write})
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.SetReadDeadline(time.Now().Add(w.patience)); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := io.ReadFull(read, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("the command said %q: %v", line, err)
	}
	return process
}

func testClientDies(t *testing.T, w *world) {
	pidFile := w.guestDir + "/pid"
	script := "mkdir -p " + w.guestDir + "; sh -c 'echo $$ > " + pidFile + "; trap \"\" TERM HUP INT; echo ready; while :; do sleep 1; done'"
	process := w.background(t, "machine", "exec", "--name", "a", "-i", "--", "/bin/sh", "-c", script)
	check(t, w.sh(t, "a", "kill -0 $(cat "+pidFile+")"), result{})
	if err := process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	eventually.True(t, "the command dies with its client", func() bool {
		return w.sh(t, "a", "kill -0 $(cat "+pidFile+") 2>/dev/null").code == 1
	})
	check(t, w.sh(t, "a", "echo alive"), result{stdout: "alive\n"})
}

func testSignals(t *testing.T, w *world) {
	for script, want := range map[string]int{
		"trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done": 9,
		"echo ready; sleep 20": 143,
		"trap '' TERM; echo ready; while :; do sleep 0.05; done": 143, // killed after a second
	} {
		process := w.background(t, "machine", "exec", "--name", "a", "-i", "--", "/bin/sh", "-c", script)
		if err := syscall.Kill(process.Pid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(process.Wait()); !strings.HasPrefix(got, fmt.Sprintf("smolvm-lite: exit status %d", want)) {
			t.Errorf("%s: ended with %s, want %d", script, got, want)
		}
	}
}

func testCopy(t *testing.T, w *world) {
	data := make([]byte, 1<<20+17)
	_, _ = rand.Read(data)
	local := filepath.Join(w.dir, "local")
	if err := os.WriteFile(local, data, 0o600); err != nil {
		t.Fatal(err)
	}
	remote := w.guestDir + "/new/dir/file"
	check(t, w.lite(t, "machine", "cp", local, "a:"+remote), result{})
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	check(t, w.sh(t, "a", "sha256sum < "+remote+"; stat -c %a "+remote+"; ls -a "+w.guestDir+"/new/dir"), result{
		stdout: sum + "  -\n644\n.\n..\nfile\n",
	})
	back := filepath.Join(w.dir, "back")
	check(t, w.lite(t, "machine", "cp", "a:"+remote, back), result{})
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back: %v", len(got), err)
	}
	check(t, w.lite(t, "machine", "cp", "--mode", "4750", local, "a:"+remote), result{})
	check(t, w.sh(t, "a", "stat -c %a "+remote), result{stdout: "4750\n"})

	for _, test := range []struct{ src, dst, err string }{
		{"a:" + w.guestDir, back, "agent operation failed: cp: " + w.guestDir + ": not a regular file"},
		{"a:/no/such", back, "agent operation failed: cp: open /no/such: no such file or directory"},
		{"a:relative", back, "agent operation failed: cp: guest path must be absolute: relative"},
		{"a:/x/../y", back, "agent operation failed: cp: guest path must not contain '..': /x/../y"},
		{local, "a:" + w.guestDir, "agent operation failed: cp: " + w.guestDir + ": Is a directory"},
		{"a:" + remote, w.dir, w.dir + ": not a regular file"},
		{w.dir, "a:" + remote, w.dir + ": not a regular file"},
		{local, back, "one of SRC and DST must be NAME:PATH"},
		{"b:/x", back, "vm not found: b"},
	} {
		check(t, w.lite(t, "machine", "cp", test.src, test.dst), result{code: 1, stderr: "Error: " + test.err + "\n"})
	}
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a failed download changed the file that was there: %d bytes, %v", len(got), err)
	}
	check(t, w.sh(t, "a", "mkfifo "+w.guestDir+"/fifo"), result{})
	check(t, w.lite(t, "machine", "cp", "a:"+w.guestDir+"/fifo", back), result{
		code: 1, stderr: "Error: agent operation failed: cp: " + w.guestDir + "/fifo: not a regular file\n",
	})
}

func testSockets(t *testing.T, w *world) {
	// Longer than any socket path may be: the host's side must not care.
	hostDir := filepath.Join(w.dir, strings.Repeat("long-", 30))
	sum, early := filepath.Join(hostDir, "sum.sock"), filepath.Join(hostDir, "early.sock")
	serveUnix(t, sum, func(conn *net.UnixConn) { // answers only after the client's half-close
		hash := sha256.New()
		n, _ := io.Copy(hash, conn)
		_, _ = fmt.Fprintf(conn, "%d %x", n, hash.Sum(nil))
	})
	serveUnix(t, early, func(conn *net.UnixConn) { // sends, half-closes, and reads on
		_, _ = io.Copy(conn, bytes.NewReader(make([]byte, 3<<20)))
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
	guestSum, guestEarly, dead := w.guestDir+"/sum.sock", w.guestDir+"/early.sock", w.guestDir+"/dead.sock"
	w.up(t, "a", "--mount-socket", sum+":"+guestSum, "--mount-socket", early+":"+guestEarly,
		"--mount-socket", filepath.Join(hostDir, "nobody")+":"+dead)

	dial := func(path string, stdin []byte) result {
		ctx, cancel := context.WithTimeout(t.Context(), w.patience)
		defer cancel()
		return w.run(ctx, call{
			stdin: bytes.NewReader(stdin),
			args:  []string{"machine", "exec", "--name", "a", "-i", "--", w.tool, "dial", path},
		})
	}
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	check(t, dial(guestSum, data), result{stdout: fmt.Sprintf("%d %x", len(data), sha256.Sum256(data))})
	if r := dial(guestEarly, []byte("late")); len(r.stdout) != 3<<20 || r.code != 0 {
		t.Errorf("%d bytes came, code %d: %s", len(r.stdout), r.code, r.stderr)
	}
	if r := dial(dead, nil); r.stdout != "" {
		t.Errorf("a socket without a server sent %q", r.stdout)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			want := fmt.Sprintf("1 %x", sha256.Sum256([]byte{byte(i)}))
			check(t, dial(guestSum, []byte{byte(i)}), result{stdout: want})
		})
	}
	wait.Wait()
	check(t, w.sh(t, "a", "stat -c %a "+guestSum), result{stdout: "600\n"})
	w.must(t, "machine", "stop", "--name", "a")
	w.must(t, "machine", "start", "--name", "a")
	check(t, dial(guestSum, nil), result{stdout: fmt.Sprintf("0 %x", sha256.Sum256(nil))})
}

// machine is the directory of a machine.
func (w *world) machine(name string) store.Dir {
	for _, entry := range w.env {
		if data, ok := strings.CutPrefix(entry, "XDG_DATA_HOME="); ok {
			return store.Dir(filepath.Join(data, "smolvm-lite/machines", name))
		}
	}
	return ""
}

// qemuOf reads what the supervisor recorded.
func (w *world) qemuOf(t *testing.T, name string) store.Process {
	t.Helper()
	run, ok, err := w.machine(name).ReadRun()
	if !ok || err != nil {
		t.Fatalf("no start is recorded: %v", err)
	}
	return run.QEMU
}

func testKillSupervisor(t *testing.T, w *world) {
	w.up(t, "a")
	qemu := w.qemuOf(t, "a")
	if err := syscall.Kill(w.pid(t, "a"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "QEMU dies with its supervisor", func() bool { return !qemu.Alive() })
	eventually.True(t, "ls tells the truth", func() bool {
		got := w.state(t, "a") // "unreachable" while the kernel is still ending the process
		return got.State == "stopped" && got.PID == nil
	})
	w.must(t, "machine", "start", "--name", "a")
	check(t, w.sh(t, "a", "echo again"), result{stdout: "again\n"})
	if err := syscall.Kill(w.pid(t, "a"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.must(t, "machine", "delete", "--name", "a", "--force")
	check(t, w.lite(t, "machine", "ls"), result{stdout: "No machines found\n"})
}

// After a reboot nothing of the last start is there but its files: other processes have
// its numbers, and nobody listens on its socket.
func testReboot(t *testing.T, w *world) {
	w.up(t, "a")
	qemu := w.qemuOf(t, "a")
	if err := syscall.Kill(w.pid(t, "a"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "QEMU dies with its supervisor", func() bool { return !qemu.Alive() })
	bystander := store.Process{PID: os.Getpid(), Start: 1}
	if err := w.machine("a").WriteRun(store.Run{Supervisor: bystander, QEMU: bystander, Accel: "tcg", Ready: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(w.machine("a").Path(store.ControlSocket)); err != nil {
		t.Errorf("the control: the dead supervisor's socket: %v", err)
	}
	if got := w.state(t, "a"); got.State != "stopped" || got.PID != nil {
		t.Errorf("after the reboot: %+v", got)
	}
	w.must(t, "machine", "stop", "--name", "a")
	w.must(t, "machine", "start", "--name", "a")
	check(t, w.sh(t, "a", "echo again"), result{stdout: "again\n"})
	w.must(t, "machine", "delete", "--name", "a", "--force")
}

func testKillQEMU(t *testing.T, w *world) {
	w.up(t, "a")
	supervisor := w.pid(t, "a")
	process := w.background(t, "machine", "exec", "--name", "a", "-i", "--", "/bin/sh", "-c", "echo ready; sleep 20")
	if err := syscall.Kill(w.qemuOf(t, "a").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(process.Wait()); !strings.HasPrefix(got, "smolvm-lite: exit status 1: Error: agent operation failed: ") {
		t.Errorf("a client of the dead machine ended with %s", got)
	}
	eventually.True(t, "ls tells the truth", func() bool { return w.state(t, "a").State == "stopped" })
	eventually.True(t, "the supervisor follows QEMU", func() bool { return !alive(supervisor) })
	w.must(t, "machine", "delete", "--name", "a", "--force")
}

func testTwo(t *testing.T, w *world) {
	names := []string{"one", "two"}
	for _, name := range names {
		w.must(t, "machine", "create", "--name", name, "--from", w.artifact, "--overlay", "1")
	}
	var wait sync.WaitGroup
	for _, name := range append(names, names...) { // each is started twice at once
		wait.Go(func() {
			r := w.lite(t, "machine", "start", "--name", name)
			busy := "already starting or running this VM"
			if r.code != 0 && !strings.Contains(r.stderr, busy) {
				t.Errorf("start %s: code %d %s", name, r.code, r.stderr)
			}
		})
	}
	wait.Wait()
	for i, name := range names {
		check(t, w.sh(t, name, "mkdir -p "+w.guestDir+strconv.Itoa(i)), result{})
		check(t, w.sh(t, name, "echo "+name), result{stdout: name + "\n"})
	}
	w.must(t, "machine", "stop", "--name", "one")
	check(t, w.sh(t, "two", "echo still"), result{stdout: "still\n"})
	if got := w.state(t, "one").State + " " + w.state(t, "two").State; got != "stopped running" {
		t.Errorf("states: %s", got)
	}
}
