package npm

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/event"
)

// Package is one pinned tarball.
type Package struct {
	Name      string // "@scope/name" or "name"
	Version   string
	Integrity string // "sha512-" and base64, as npm prints dist.integrity
}

func (p Package) String() string { return p.Name + " " + p.Version }

// Downloader keeps tarballs in Dir/npm, named by their integrity.
type Downloader struct {
	Dir      string
	Settings *Settings
	HTTP     *http.Client
	Events   event.Sink
	Attempts int           // tries of a download, each going on where the last one ended; 0 means 4
	Pause    time.Duration // before the second try, doubling; 0 means 500 ms
	Stall    time.Duration // a silent server is given up after it; 0 means 30 s
}

// The reasons that end a download for good.
var (
	errWrongHash = errors.New("wrong integrity")
	errNotFound  = errors.New("not found")
	errFinal     = errors.New("refused")
)

// Digest returns the 64 bytes of a sha512 integrity.
func Digest(integrity string) ([]byte, error) {
	text, ok := strings.CutPrefix(integrity, "sha512-")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != sha512.Size {
		return nil, fmt.Errorf("integrity %q is not sha512- and 88 characters of base64", integrity)
	}
	return raw, nil
}

// Fetch returns the path of the verified tarball, downloading it if the cache lacks it.
func (d *Downloader) Fetch(ctx context.Context, pkg Package) (string, error) {
	want, err := Digest(pkg.Integrity)
	if err != nil {
		return "", fmt.Errorf("npm package %s: %w", pkg, err)
	}
	name := hex.EncodeToString(want)[:64]
	path := filepath.Join(d.Dir, "npm", name+".tgz")
	if whole(path) {
		return path, nil
	}
	unlock, err := diskcache.Lock(ctx, filepath.Join(d.Dir, "locks", "npm-"+name))
	if err != nil {
		return "", err
	}
	defer unlock()
	if whole(path) {
		return path, nil
	}
	d.Events.Send(ctx, event.Event{Kind: event.Start, Step: "download", Part: pkg.String(), Text: pkg.String()})
	size, err := d.download(ctx, pkg, path+".part")
	if err != nil {
		return "", diskcache.Explain(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return "", err
	}
	err = diskcache.WriteFile(path+".size", func(w io.Writer) error {
		_, err := io.WriteString(w, strconv.FormatInt(size, 10))
		return err
	})
	d.Events.Send(ctx, event.Event{Kind: event.Done, Step: "download", Part: pkg.String(), Text: pkg.String(), Done: size, Total: size})
	return path, err
}

// whole compares a tarball with the size that was written when its hash was checked.
func whole(path string) bool {
	text, err := os.ReadFile(path + ".size")
	if err != nil {
		return false
	}
	size, err := strconv.ParseInt(string(text), 10, 64)
	info, statErr := os.Stat(path)
	return err == nil && statErr == nil && info.Size() == size
}

// download repeats tries until the part file is the pinned tarball.
func (d *Downloader) download(ctx context.Context, pkg Package, part string) (int64, error) {
	attempts, pause := d.Attempts, d.Pause
	if attempts == 0 {
		attempts = 4
	}
	if pause == 0 {
		pause = 500 * time.Millisecond
	}
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		return 0, diskcache.Explain(err)
	}
	address, err := d.tarball(pkg)
	if err != nil {
		return 0, err
	}
	for attempt := 1; ; attempt++ {
		size, err := d.try(ctx, fetch{pkg: pkg, address: address, part: part})
		if errors.Is(err, errNotFound) {
			size, err = d.tryElsewhere(ctx, pkg, part)
		}
		if err == nil {
			return size, nil
		}
		if final(err) || attempt == attempts || ctx.Err() != nil {
			return 0, fmt.Errorf("fetching npm package %s: %w", pkg, err)
		}
		d.Events.Send(ctx, event.Event{Kind: event.Info, Step: "download", Text: fmt.Sprintf("%s: %v; trying again", pkg, err)})
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("fetching npm package %s: %w", pkg, context.Cause(ctx))
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// tryElsewhere takes the address that the registry itself gives.
func (d *Downloader) tryElsewhere(ctx context.Context, pkg Package, part string) (int64, error) {
	address, err := d.ask(ctx, pkg)
	if err != nil {
		return 0, err
	}
	return d.try(ctx, fetch{pkg: pkg, address: address, part: part})
}

// final errors do not go away by trying again. A full disk is one of them.
func final(err error) bool {
	var disk *os.PathError
	return errors.Is(err, errWrongHash) || errors.Is(err, errNotFound) || errors.Is(err, errFinal) || errors.As(err, &disk)
}

// tarball is where every registry that we know keeps it.
func (d *Downloader) tarball(pkg Package) (string, error) {
	base, err := d.Settings.Registry(pkg.Name)
	if err != nil {
		return "", err
	}
	bare := pkg.Name[strings.LastIndexByte(pkg.Name, '/')+1:]
	return base.JoinPath(pkg.Name, "-", bare+"-"+pkg.Version+".tgz").String(), nil
}

// ask looks the address up in the registry's description of the version, for
// registries that keep tarballs elsewhere.
func (d *Downloader) ask(ctx context.Context, pkg Package) (string, error) {
	known, err := d.describe(ctx, pkg)
	if err != nil {
		return "", err
	}
	if known.Dist.Tarball == "" {
		return "", fmt.Errorf("%w: the registry's description names no tarball", errNotFound)
	}
	return known.Dist.Tarball, nil
}

func (d *Downloader) get(ctx context.Context, address string, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	// Without this the transport asks for gzip and hands out other bytes than were sent.
	request.Header.Set("Accept-Encoding", "identity")
	d.Settings.authorize(request)
	return d.HTTP.Do(request)
}
