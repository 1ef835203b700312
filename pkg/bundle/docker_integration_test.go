//go:build integration

package bundle_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bottle.internal/internal/control"
	"bottle.internal/internal/link"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/need"
)

func TestRealBundle(t *testing.T) {
	l := startLive(t)
	steps := []struct {
		name string
		run  func(*testing.T, *live)
	}{
		{"the firewall answers through the gate", testGate},
		{"strangers get nothing", testStrangers},
		{"dial tells the living from the dead", testDial},
		{"the engine keeps no secret", testInspect},
		{"a daemon cannot look into another", testApart},
		{"a killed daemon comes back", testKilledDaemon},
		{"a host may detach and come back", testReattach},
		{"a killed container is restarted", testRestart},
		{"close leaves nothing", testClose},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { l.t = t; step.run(t, l) }) {
			break
		}
	}
	if err := l.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_ = l.host.Close()
}

func testGate(t *testing.T, l *live) {
	if got := l.health(); got != "200 OK" {
		t.Errorf("health: %s", got)
	}
	if out, code, err := l.Exec(t.Context(), "health"); out != "init running\nfirewall ok\ngate ok\n" || code != 0 || err != nil {
		t.Errorf("bundle health: %q, %d, %v", out, code, err)
	}
	conn, err := link.DialGate(t.Context(), l.GateAddr(), l.key, 8888)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	for _, step := range []struct{ target, want string }{{"unlisted.bottle.test:443", "403 "}, {"echo.bottle.test:443", "200 "}} {
		conn, err := link.DialGate(t.Context(), l.GateAddr(), l.key, 8888)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", step.target)
		response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err != nil || !strings.HasPrefix(response.Status, step.want) {
			t.Errorf("CONNECT %s: %v, %v", step.target, response, err)
		}
		_ = conn.Close()
	}
}

// The control is that knock does connect: a refused dial would prove nothing.
func testStrangers(t *testing.T, l *live) {
	if got := l.runBeside("knock", "bottle-"+l.spec.Identity+":7070"); got != "connected, 0 bytes\n" {
		t.Errorf("a container on the same network: %q", got)
	}
	if got := l.runBeside("knock", "bottle-"+l.spec.Identity+":8888"); !strings.HasPrefix(got, "no connection: ") {
		t.Errorf("the firewall itself, from the network: %q", got)
	}
	other, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := link.DialGate(t.Context(), l.GateAddr(), other, 8888); err == nil || !strings.HasSuffix(err.Error(), "the gate has another key") {
		t.Errorf("another key: %v", err)
	}
	if got := l.health(); got != "200 OK" {
		t.Errorf("afterwards: %s", got)
	}
}

// runBeside runs a program of the image in a second container on the bundle's network.
func (l *live) runBeside(program string, args ...string) string {
	l.t.Helper()
	ctx := l.t.Context()
	created, err := l.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:     &container.Config{Image: l.spec.Image, Entrypoint: append([]string{"/usr/local/bin/" + program}, args...)},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(l.NetworkID())},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer l.engine.ContainerRemove(context.Background(), created.ID, client.ContainerRemoveOptions{Force: true})
	attached, err := l.engine.ContainerAttach(ctx, created.ID, client.ContainerAttachOptions{Stream: true, Stdout: true})
	if err != nil {
		l.t.Fatal(err)
	}
	defer attached.Close()
	if _, err := l.engine.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		l.t.Fatal(err)
	}
	header := make([]byte, 8)
	if _, err := io.ReadFull(attached.Reader, header); err != nil {
		l.t.Fatal(err)
	}
	said, err := io.ReadAll(attached.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(said)
}

func testDial(t *testing.T, l *live) {
	problems := l.Dial(t.Context(), "unlisted.bottle.test:443", "echo.bottle.test:444")
	if problems[0] != nil || problems[1] == nil || !strings.HasSuffix(problems[1].Error(), `:444: connect: connection refused"`) {
		t.Errorf("Dial = %v", problems)
	}
}

func testInspect(t *testing.T, l *live) {
	result, err := l.engine.ContainerInspect(t.Context(), l.ContainerID(), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw := string(result.Raw)
	for _, encoded := range []string{string(l.key.Reveal()), base64.StdEncoding.EncodeToString(l.key.Reveal()), fmt.Sprintf("%x", l.key.Reveal())} {
		if strings.Contains(raw, encoded) {
			t.Error("the link key is in docker inspect")
		}
	}
	host := result.Container.HostConfig
	if !host.ReadonlyRootfs || len(host.CapDrop) != 1 || host.PidsLimit == nil || *host.PidsLimit != 256 || host.Memory != 512<<20 {
		t.Errorf("host config %+v", host)
	}
	pid := result.Container.State.Pid
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		need.Need(t, "root", fmt.Errorf("the engine's processes are not on this host: %w", err))
	}
	// 0xe0 is KILL, SETGID and SETUID.
	for _, line := range []string{"Uid:\t0\t0\t0\t0\n", "CapEff:\t00000000000000e0\n", "CapBnd:\t00000000000000e0\n", "NoNewPrivs:\t1\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("PID 1 lacks %q:\n%s", line, status)
		}
	}
}

// The spy runs as the firewall would if an agent had taken it over. Its own process shows
// that it can look where it is allowed to.
func testApart(t *testing.T, l *live) {
	created, err := l.engine.ExecCreate(t.Context(), l.ContainerID(), client.ExecCreateOptions{
		AttachStdout: true, User: "64881:64881", Cmd: []string{"/usr/local/bin/spy", "/run/gate", "/run/firewall"},
	})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := l.engine.ExecAttach(t.Context(), created.ID, client.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	var said bytes.Buffer
	if _, err := stdcopy.StdCopy(&said, io.Discard, attached.Reader); err != nil {
		t.Fatal(err)
	}
	want := "bundle firewall: environ denied, mem denied, fd denied, caps 0000000000000000\n" + // its own uid, but not dumpable
		"bundle gate: environ denied, mem denied, fd denied, caps 0000000000000000\n" +
		"bundle init: environ denied, mem denied, fd denied, caps 00000000000000e0\n" +
		"spy: environ open, mem open, fd open, caps 0000000000000000\n" +
		"/run/gate: denied\n/run/firewall: open\n"
	if said.String() != want {
		t.Errorf("the spy says\n%s\nwant\n%s", &said, want)
	}
}

func testKilledDaemon(t *testing.T, l *live) {
	l.event(control.Started)
	l.event(control.Started)
	top, err := l.engine.ContainerTop(t.Context(), l.ContainerID(), client.ContainerTopOptions{Arguments: []string{"-o", "pid,args"}})
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, row := range top.Processes {
		if strings.HasSuffix(strings.Join(row, " "), bundle.Program+" firewall") {
			pid, _ = strconv.Atoi(row[0])
		}
	}
	if pid == 0 {
		t.Fatalf("no firewall among %q", top.Processes)
	}
	begin := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		need.Need(t, "root", fmt.Errorf("the engine's processes are not on this host: %w", err))
	}
	if e := l.event(control.Died); e.Detail != "killed by signal killed" {
		t.Errorf("event %+v", e)
	}
	l.event(control.Restarting)
	l.event(control.Started)
	for l.health() != "200 OK" {
		if time.Since(begin) > 20*time.Second { // 0.2 s when nothing else runs
			t.Fatal("not back within 20 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("back after %v", time.Since(begin).Round(time.Millisecond))
}

func testReattach(t *testing.T, l *live) {
	if err := l.host.Close(); err != nil {
		t.Error(err)
	}
	<-l.Ended() // the engine ends all streams with stdin
	if alive, err := l.Alive(t.Context()); !alive || err != nil {
		t.Errorf("Alive = %v, %v", alive, err)
	}
	if got := l.health(); got != "200 OK" {
		t.Errorf("without a host: %s", got)
	}
	if err := l.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.bootstrap()
	if got := l.health(); got != "200 OK" {
		t.Errorf("after coming back: %s", got)
	}
}

func testRestart(t *testing.T, l *live) {
	ended := l.Ended()
	if _, err := l.engine.ContainerKill(t.Context(), l.ContainerID(), client.ContainerKillOptions{}); err != nil {
		t.Fatal(err)
	}
	<-ended
	if alive, err := l.Alive(t.Context()); alive || err != nil {
		t.Errorf("Alive = %v, %v", alive, err)
	}
	_ = l.host.Close()
	if err := l.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.bootstrap()
	if got := l.health(); got != "200 OK" {
		t.Errorf("after the restart: %s", got)
	}
}

func testClose(t *testing.T, l *live) {
	found, err := bundle.List(t.Context(), l.engine, owner)
	if err != nil || len(found) != 3 {
		t.Errorf("before: %+v, %v", found, err)
	}
	begin := time.Now()
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("closed after %v", time.Since(begin).Round(time.Millisecond))
	if time.Since(begin) > 4*time.Second {
		t.Error("close took more than 4 s")
	}
	if found, err := bundle.List(t.Context(), l.engine, owner); err != nil || len(found) != 0 {
		t.Errorf("after: %+v, %v", found, err)
	}
}

// What a killed process left behind is found by its labels.
func TestRealRemove(t *testing.T) {
	l := startLive(t)
	if _, err := bundle.Start(t.Context(), l.engine, l.spec); err == nil || !strings.Contains(err.Error(), bundle.ErrLeftover.Error()) {
		t.Errorf("a second start of the same identity: %v", err)
	}
	if got := l.health(); got != "200 OK" {
		t.Errorf("the first after that: %s", got)
	}
	for range 2 {
		if err := bundle.Remove(t.Context(), l.engine, owner, l.spec.Identity); err != nil {
			t.Error(err)
		}
	}
	if found, err := bundle.List(t.Context(), l.engine, owner); err != nil || len(found) != 0 {
		t.Errorf("after: %+v, %v", found, err)
	}
	<-l.Ended()
	if err := l.Close(context.Background()); err != nil {
		t.Errorf("closing what is gone: %v", err)
	}
	_ = l.host.Close()
}
