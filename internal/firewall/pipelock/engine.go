package pipelock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/secret"
)

// Engine is the operator's program.
type Engine struct {
	Binary string `json:"binary"` // absolute path inside the bundle
	SHA256 string `json:"sha256"` // its digest, 64 hexadecimal digits in lower case
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseEngine reads the input [EngineFile]: one JSON object with both fields, nothing else.
func ParseEngine(data []byte) (Engine, error) {
	var engine Engine
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&engine); err != nil {
		return Engine{}, fmt.Errorf("reading %s: %w", EngineFile, err)
	}
	switch _, err := decoder.Token(); {
	case !errors.Is(err, io.EOF):
		return Engine{}, fmt.Errorf("reading %s: more than one value", EngineFile)
	case !filepath.IsAbs(engine.Binary) || filepath.Clean(engine.Binary) != engine.Binary:
		return Engine{}, fmt.Errorf("reading %s: binary %q is no clean absolute path", EngineFile, engine.Binary)
	case !digestPattern.MatchString(engine.SHA256):
		return Engine{}, fmt.Errorf("reading %s: sha256 %q is no digest of 64 digits", EngineFile, engine.SHA256)
	}
	return engine, nil
}

// verify compares the program with its digest. The bundle's root is read-only, so that it
// is still the same when it is started.
func (e Engine) verify() error {
	file, err := os.Open(e.Binary)
	if err != nil {
		return fmt.Errorf("checking pipelock: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("checking pipelock: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("checking pipelock: %s has the sha256 %s, not %s", e.Binary, got, e.SHA256)
	}
	return nil
}

// writeConfig replaces pipelock's configuration in one step. The directory must be ours
// alone.
func writeConfig(dir string, config secret.Value) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("writing pipelock's configuration: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("writing pipelock's configuration: %s is not a directory that only this user can enter", dir)
	}
	path := filepath.Join(dir, firewall.PipelockFile)
	if err := os.WriteFile(path+".new", configText(config), 0o600); err != nil {
		return fmt.Errorf("writing pipelock's configuration: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing pipelock's configuration: %w", err)
	}
	return nil
}

// supervise keeps one pipelock running until ctx ends; its end by itself is an error.
func (r *running) supervise(ctx context.Context) error {
	for {
		again, err := r.once(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// once runs one pipelock to its end; again says that it was ended for a new configuration.
func (r *running) once(ctx context.Context) (again bool, err error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	output := &redactor{record: r.server.Record}
	process, err := execx.Start(running, execx.Cmd{
		Path: r.engine.Binary,
		Args: []string{"run", "--config", filepath.Join(r.daemon.Dir, firewall.PipelockFile), "--listen", r.daemon.Listen},
		// Nothing of ours: it would look for secrets of its own there, and report home.
		Env: []string{"HOME=" + r.daemon.Dir, "TMPDIR=" + r.daemon.Dir}, Dir: r.daemon.Dir,
		Stdout: output, DieWithUs: true,
	})
	if err != nil {
		return false, err
	}
	var failure error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failure = process.Wait()
	}()
	select {
	case <-ended:
		if ctx.Err() != nil {
			return false, nil
		}
		return false, r.obituary(failure)
	case <-r.restart:
		stop()
		<-ended
		return ctx.Err() == nil, nil
	case <-ctx.Done():
		<-ended
		return false, nil
	}
}

// obituary is the end of pipelock in one line. Its last words are left out when they hold
// a secret.
func (r *running) obituary(err error) error {
	exit, ok := errors.AsType[*execx.ExitError](err)
	if !ok {
		return errors.New("pipelock ended by itself")
	}
	text := strings.TrimSpace(exit.Stderr)
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if rule, err := r.daemon.Secrets.Find(last); err != nil || rule != "" {
		last = ""
	}
	how := fmt.Sprintf("exit status %d", exit.Code)
	if exit.Signal != 0 {
		how = exit.Signal.String()
	}
	return fmt.Errorf("pipelock ended: %s: %.200q", how, last)
}
