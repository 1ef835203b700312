//go:build linux

package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"bottle.internal/internal/lite/wire"
)

// defaultTerm is what TERM is for a terminal whose client did not say.
const defaultTerm = "xterm-256color"

// exec runs one command and talks to its client until it has ended. What goes on
// reading the client's frames after that is left in readers.
func (s *Server) exec(conn *wire.Conn, req wire.Exec, readers *sync.WaitGroup) wire.Exit {
	cmd, err := s.prepare(req)
	if err != nil {
		return wire.Exit{Code: 1, Error: "vm exec: " + err.Error()}
	}
	streams, err := openStreams(req)
	if err != nil {
		return wire.Exit{Code: 1, Error: "vm exec: opening the streams: " + err.Error()}
	}
	defer streams.close()
	child, err := s.reaper.start(cmd.path, req.Argv, &syscall.ProcAttr{
		Dir: cmd.dir, Env: cmd.env, Files: streams.childFiles(),
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: req.TTY, Ctty: 0},
	})
	streams.closeChildEnds()
	if err != nil {
		return wire.Exit{Code: 1, Error: "vm exec: failed to spawn command: " + osError(err)}
	}

	var wait sync.WaitGroup
	wait.Go(func() { streams.pumpOutput(conn) })
	if streams.stdin != nil {
		wait.Go(func() { streams.input.drain(streams.stdin, conn) })
	}
	readers.Go(func() {
		_ = streams.receive(conn, child)
		child.signal(syscall.SIGKILL) // a client that vanishes takes its command with it
		streams.abandon()
	})
	status := <-child.done
	streams.childExited()
	wait.Wait()
	return wire.Exit{Code: exitCode(status)}
}

// command is what an exec request becomes.
type command struct {
	path, dir string
	env       []string
}

func (s *Server) prepare(req wire.Exec) (command, error) {
	if len(req.Argv) == 0 || req.Argv[0] == "" {
		return command{}, errors.New("no command")
	}
	cmd := command{env: mergeEnv(s.boot.Env, req.Env), dir: req.Dir}
	if req.TTY && lookupEnv(cmd.env, "TERM") == "" {
		cmd.env = append(cmd.env, "TERM="+defaultTerm)
	}
	if cmd.dir == "" {
		cmd.dir = s.boot.Dir
	}
	if cmd.dir == "" {
		cmd.dir = "/"
	}
	if info, err := os.Stat(cmd.dir); err != nil {
		return command{}, fmt.Errorf("working directory %s: %s", cmd.dir, osError(err))
	} else if !info.IsDir() {
		return command{}, fmt.Errorf("working directory %s: %s", cmd.dir, osError(syscall.ENOTDIR))
	}
	path, err := lookPath(req.Argv[0], cmd.dir, lookupEnv(cmd.env, "PATH"))
	if err != nil {
		return command{}, fmt.Errorf("failed to spawn command: %s", osError(err))
	}
	cmd.path = path
	return cmd, nil
}

// osError prints an error of the system as smolvm's agent (a Rust program) does.
func osError(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := errno.Error()
	return fmt.Sprintf("%s%s (os error %d)", strings.ToUpper(text[:1]), text[1:], int(errno))
}

// lookPath finds a program with the PATH of the command, not that of PID 1.
func lookPath(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	failure := error(syscall.ENOENT)
	for _, element := range filepath.SplitList(path) {
		if !filepath.IsAbs(element) {
			element = filepath.Join(dir, element)
		}
		candidate := filepath.Join(element, name)
		info, err := os.Stat(candidate)
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&0o111 != 0 {
			return candidate, nil
		}
		failure = syscall.EACCES
	}
	return "", failure
}

// mergeEnv lays over on base; the last value of a key wins and keeps one place.
func mergeEnv(base, over []string) []string {
	merged := make([]string, 0, len(base)+len(over))
	position := map[string]int{}
	for _, entry := range append(append([]string{}, base...), over...) {
		key, _, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			continue
		}
		if at, seen := position[key]; seen {
			merged[at] = entry
			continue
		}
		position[key] = len(merged)
		merged = append(merged, entry)
	}
	return merged
}

func lookupEnv(env []string, key string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, key+"="); ok {
			return value
		}
	}
	return ""
}
