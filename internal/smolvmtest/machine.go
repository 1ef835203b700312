package smolvmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The texts of the contract.
func errVMNotFound(name string) error { return fmt.Errorf("vm not found: %s", name) }

func notRunning(name string) string {
	return fmt.Sprintf("agent operation failed: connect: machine '%s' is not running. Use 'smolvm machine start --name %s' first.", name, name)
}

func (t *fakeTool) create(line parsed) error {
	name := t.nameOf(line)
	switch {
	case name == "" || strings.ContainsAny(name, "/. "):
		return fmt.Errorf("config operation failed: create machine: invalid name '%s'", name)
	case line.has("--from") && line.has("--image"):
		fmt.Fprintln(os.Stderr, "error: the argument '--from <PATH>' cannot be used with '--image <IMAGE>'")
		return exitCode(2)
	}
	made, err := t.newMachine(name, line)
	if err != nil {
		return err
	}
	err = t.store.update(func(s *state) error {
		if s.Machines[name] != nil {
			return fmt.Errorf("config operation failed: create machine: machine '%s' already exists", name)
		}
		s.Machines[name] = made
		return os.MkdirAll(t.store.guestRoot(name), 0o700)
	})
	if err != nil {
		return err
	}
	fmt.Printf("Created machine: %s\n  CPUs: %d, Memory: %d MiB\n\n", name, made.CPUs, made.MemMiB)
	return nil
}

// newMachine keeps the tool's confusion of the default sizes with "not given".
func (t *fakeTool) newMachine(name string, line parsed) (*machine, error) {
	made := &machine{Name: name, CPUs: 4, MemMiB: 8192, Created: time.Now().Unix(), Labels: map[string]string{}}
	if from := line.last("--from"); from != "" {
		manifest, err := readArtifact(from)
		if err != nil {
			return nil, fmt.Errorf("failed to read .smolmachine %s: %w", from, err)
		}
		made.Source, made.CPUs, made.MemMiB, made.Network = from, manifest.CPUs, manifest.MemMiB, manifest.Network
		made.Cmd = manifest.Cmd
		if t.version.atLeast("1.7.3") && !t.version.atLeast("1.7.5") && !line.has("--net") {
			return nil, fmt.Errorf("image '%s' must be pulled from a registry, but this machine has no network", manifest.Image)
		}
	}
	if cpus, err := strconv.Atoi(line.last("--cpus")); err == nil && cpus != 4 {
		made.CPUs = cpus
	}
	if mem, err := strconv.Atoi(line.last("--mem")); err == nil && mem != 8192 {
		made.MemMiB = mem
	}
	made.Network = made.Network || line.has("--net")
	made.Storage, made.Overlay = number(line.last("--storage")), number(line.last("--overlay"))
	for _, label := range line.values["--label"] {
		key, value, _ := strings.Cut(label, "=")
		made.Labels[key] = value
	}
	return made, nil
}

func number(text string) *int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	return &value
}

func (t *fakeTool) nameOf(line parsed) string {
	if len(line.positional) > 0 {
		return line.positional[0]
	}
	return line.last("--name")
}

func (t *fakeTool) start(name string) error {
	if t.fault == Noop {
		fmt.Printf("Machine '%s' running (PID: 12345)\n", name)
		return nil
	}
	return t.store.update(func(s *state) error {
		m := s.Machines[name]
		switch {
		case m == nil:
			return errVMNotFound(name)
		case m.runs():
			fmt.Printf("Machine '%s' already running (PID: %d)\n", name, m.PID)
			return nil
		}
		if m.Source != "" {
			if _, err := os.Stat(m.Source); err != nil {
				return fmt.Errorf("source .smolmachine not found: %s", m.Source)
			}
		}
		pid, err := t.startVMM()
		if err != nil {
			return fmt.Errorf("agent operation failed: start machine: %w", err)
		}
		m.Running, m.Started, m.PID = true, true, pid
		s.VMMs = append(s.VMMs, pid)
		fmt.Fprintf(os.Stderr, "Starting machine '%s'...\n", name)
		fmt.Printf("Machine '%s' running (PID: %d)\n", name, pid)
		return nil
	})
}

func (m *machine) runs() bool { return m != nil && m.Running && vmmAlive(m.PID) }

func (m *machine) stateName() string {
	switch {
	case m.runs():
		return "running"
	case m.Started:
		return "stopped"
	}
	return "created"
}

func (t *fakeTool) stop(name string) error {
	fmt.Printf("Stopping machine '%s'...\n", name)
	if t.fault == Noop {
		fmt.Printf("Stopped machine: %s\n", name)
		return nil
	}
	return t.store.update(func(s *state) error {
		m := s.Machines[name]
		switch {
		case m == nil && !t.version.atLeast("0.8.1"):
			fmt.Printf("Machine '%s' not found or not running\n", name)
			return nil
		case m == nil:
			return errVMNotFound(name)
		case !m.runs():
			fmt.Printf("Machine '%s' is not running (state: %s)\n", name, m.stateName())
			return nil
		}
		if t.fault == KeepProcess {
			m.Running = false
		} else {
			t.end(m)
		}
		fmt.Printf("Stopped machine: %s\n", name)
		return nil
	})
}

// end keeps the process id in the record, as the real tool may.
func (t *fakeTool) end(m *machine) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	endVMM(ctx, m.PID)
	m.Running = false
}

func (t *fakeTool) delete(line parsed) error {
	name := t.nameOf(line)
	if !line.has("--force") {
		fmt.Fprintf(os.Stderr, "Delete machine '%s'? [y/N] ", name)
		fmt.Println("Cancelled") // stdin is at its end
		return nil
	}
	if t.fault == Noop {
		fmt.Printf("Deleted machine: %s\n", name)
		return nil
	}
	return t.store.update(func(s *state) error {
		m := s.Machines[name]
		if m == nil {
			return errVMNotFound(name)
		}
		// 0.8.0 forgets a running machine and leaves its process.
		if m.runs() && t.version.atLeast("0.8.1") && t.fault != KeepProcess {
			t.end(m)
		}
		delete(s.Machines, name)
		fmt.Printf("Cleaning up data directory for vm: %s\nDeleted machine: %s\n", name, name)
		return os.RemoveAll(t.store.guestRoot(name))
	})
}

// running is the machine that exec and cp need.
func (t *fakeTool) running(name string) error {
	return t.store.update(func(s *state) error {
		m := s.Machines[name]
		switch {
		case m == nil:
			return errVMNotFound(name)
		case !m.runs():
			return errors.New(notRunning(name))
		}
		return nil
	})
}

func (t *fakeTool) packCreate(line parsed) error {
	output := line.last("--output")
	image := line.last("--image")
	switch {
	case output == "":
		fmt.Fprintln(os.Stderr, "error: the following required arguments were not provided:\n  --output <PATH>")
		return exitCode(2)
	case strings.HasSuffix(output, ".smolmachine") && t.version.atLeast("1.7.0"):
		return errors.New("pack operation failed: --output must not end in .smolmachine")
	case image == "":
		return errors.New("pack operation failed: no image given")
	}
	fmt.Printf("\r\x1b[2KPacking %s...\n", image)
	fmt.Fprintln(os.Stderr, "Pulling", image)
	if t.fault == Noop {
		return nil
	}
	manifest := Manifest{Image: image, Platform: line.last("--oci-platform")}
	manifest.CPUs, _ = strconv.Atoi(line.last("--cpus"))
	manifest.MemMiB, _ = strconv.Atoi(line.last("--mem"))
	if err := os.WriteFile(output, []byte("#!/bin/false\n"), 0o700); err != nil {
		return fmt.Errorf("pack operation failed: write stub: %w", err)
	}
	return WriteArtifact(output+".smolmachine", manifest)
}
