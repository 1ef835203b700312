package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/imagebuild/layer"
)

// sourceDate is the clock inside a base. It is not the epoch because day 0 in
// /etc/shadow means a password that has expired.
const sourceDate = "SOURCE_DATE_EPOCH=1767225600"

// ErrMoved means that the mirror no longer has what was resolved.
var ErrMoved = errors.New("the mirror has other package versions than the plan")

// slim leaves out what an agent does not read.
func slim() []string {
	return []string{
		"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
		"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*",
		"path-exclude=/usr/share/locale/*", "force-unsafe-io",
	}
}

// Key names the base by everything that decides about its bytes.
func (r Resolved) Key() string {
	hash := sha256.New()
	fmt.Fprintf(hash, "debian base 2\n%s\n%s\n%s\n%s\n", r.Suite, r.Arch, r.Tool, sourceDate)
	fmt.Fprintf(hash, "%s\n%s\n%s\n%s", strings.Join(slim(), "\n"), strings.Join(r.Include, ","), strings.Join(r.Versions, "\n"), r.Sources)
	return hex.EncodeToString(hash.Sum(nil))
}

// Write makes the base and writes it as the tar of a layer. If the base has other
// versions than resolved, that is [ErrMoved].
func (h *Host) Write(ctx context.Context, resolved Resolved, w io.Writer) error {
	if err := h.write(ctx, resolved, w); err != nil {
		return fmt.Errorf("making the Debian base: %w", err)
	}
	return nil
}

func (h *Host) write(ctx context.Context, resolved Resolved, w io.Writer) error {
	if err := h.check(resolved.Arch); err != nil {
		return err
	}
	mode, err := h.mode()
	if err != nil {
		return err
	}
	if err := h.freshLists(ctx, resolved); err != nil {
		return err
	}
	h.log("installing " + strconv.Itoa(len(resolved.Versions)) + " packages of " + resolved.Suite + ", mmdebstrap mode " + mode)
	var installed []string
	status := layer.Watch{Names: []string{"var/lib/dpkg/status"}, Keep: func(_ *tar.Header, content []byte) {
		installed = parseStatus(string(content))
	}}
	err = h.bootstrap(ctx, h.command(ctx, mode, resolved), func(r io.Reader) error { return layer.Normalise(w, r, status) })
	if err != nil {
		return err
	}
	if !slices.Equal(installed, resolved.Versions) {
		return moved(resolved.Versions, installed)
	}
	return os.RemoveAll(h.aptDir())
}

func moved(want, got []string) error {
	for _, one := range got {
		if !slices.Contains(want, one) {
			return fmt.Errorf("%w: %s is new\nmage base chooses a base anew", ErrMoved, one)
		}
	}
	return fmt.Errorf("%w: %d packages instead of %d\nmage base chooses a base anew", ErrMoved, len(got), len(want))
}

// freshLists makes sure that the lists of the plan are there; a rebuild much later
// reads them again, and must then find the same versions.
func (h *Host) freshLists(ctx context.Context, resolved Resolved) error {
	written, err := os.ReadFile(filepath.Join(h.aptDir(), sourcesName))
	lists, globErr := filepath.Glob(filepath.Join(h.aptDir(), "lists", "*Packages*"))
	if err == nil && globErr == nil && len(lists) > 0 && bytes.Equal(written, resolved.Sources) {
		return nil
	}
	versions, err := h.simulate(ctx, resolved)
	if err != nil {
		return err
	}
	if !slices.Equal(versions, resolved.Versions) {
		return moved(resolved.Versions, versions)
	}
	return nil
}

// command is mmdebstrap's. It runs in our scratch directory, so that hooks, which are
// split at spaces, hold no path of the user's.
func (h *Host) command(ctx context.Context, mode string, resolved Resolved) execx.Cmd {
	args := []string{
		"--mode=" + mode, "--variant=minbase", "--format=tar", "--architectures=" + resolved.Arch,
		// The lists are the ones that were resolved, so nothing can change in between.
		"--skip=update", "--setup-hook=sync-in lists /var/lib/apt/lists",
		"--include=" + strings.Join(resolved.Include, ","),
	}
	for _, option := range slim() {
		args = append(args, "--dpkgopt="+option)
	}
	return execx.Cmd{
		Path: "mmdebstrap", Args: append(args, resolved.Suite, "-", "./"+sourcesName),
		Dir: h.aptDir(), Env: append(h.environ(ctx), sourceDate), Stderr: &lines{log: h.log},
	}
}

// bootstrap runs a command while read takes its output. If either fails, both end.
func (h *Host) bootstrap(ctx context.Context, cmd execx.Cmd, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	output, input := io.Pipe()
	cmd.Stdout = input
	var group sync.WaitGroup
	var readErr error
	group.Go(func() {
		readErr = read(output)
		if readErr != nil {
			cancel(readErr)
		}
		// What is left must be taken too, or the program would wait for a reader.
		_, _ = io.Copy(io.Discard, output)
	})
	err := h.run(ctx, cmd)
	_ = input.CloseWithError(eofOr(err))
	group.Wait()
	if err != nil && readErr != nil && !errors.Is(readErr, err) {
		return readErr
	}
	return errors.Join(err, readErr)
}

func eofOr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// parseStatus lists the installed packages of a dpkg status file.
func parseStatus(text string) []string {
	var all []string
	for stanza := range strings.SplitSeq(text, "\n\n") {
		var name, version string
		installed := false
		for line := range strings.Lines(stanza) {
			// A line of a description begins with a space and may say anything.
			key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
			switch key {
			case "Package":
				name = value
			case "Version":
				version = value
			case "Status":
				installed = strings.HasSuffix(value, " installed")
			}
		}
		if installed {
			all = append(all, name+"="+version)
		}
	}
	slices.Sort(all)
	return all
}

// lines hands on whole lines.
type lines struct {
	log  func(string)
	rest string
}

func (l *lines) Write(p []byte) (int, error) {
	all := strings.Split(l.rest+string(p), "\n")
	for _, line := range all[:len(all)-1] {
		l.log(strings.TrimPrefix(strings.TrimSpace(line), "I: "))
	}
	l.rest = all[len(all)-1]
	return len(p), nil
}
