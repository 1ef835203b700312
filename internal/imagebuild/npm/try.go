package npm

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"bottle.internal/internal/event"
)

// tarballLimit bounds what a registry can make us write.
const tarballLimit = 2 << 30

type fetch struct {
	pkg     Package
	address string
	part    string
}

// try downloads what the part file lacks and checks the whole. A part that was begun
// by somebody else and turns out wrong is thrown away and worth another try; a whole
// download with a wrong hash is final.
func (d *Downloader) try(ctx context.Context, f fetch) (int64, error) {
	file, err := os.OpenFile(f.part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	sum := sha512.New()
	had, err := io.Copy(sum, file)
	if err != nil {
		return 0, err
	}
	resumed, size, err := d.receive(ctx, f, partial{file: file, sum: sum, had: had})
	if err != nil {
		return 0, discardOnFullDisk(f.part, err)
	}
	if err := file.Sync(); err != nil {
		return 0, discardOnFullDisk(f.part, err)
	}
	got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
	if got == f.pkg.Integrity {
		return size, nil
	}
	if err := os.Remove(f.part); err != nil {
		return 0, err
	}
	if resumed {
		return 0, errors.New("a download that was begun earlier does not fit")
	}
	return 0, fmt.Errorf("%w\nthe recipe pins %s\nthe registry sent %s\nthe package was replaced or is not the one that was pinned: do not go on before you know why",
		errWrongHash, f.pkg.Integrity, got)
}

// discardOnFullDisk keeps a part for the next try unless the disk is what ended it.
func discardOnFullDisk(part string, err error) error {
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return errors.Join(err, os.Remove(part))
	}
	return err
}

type partial struct {
	file *os.File
	sum  hash.Hash
	had  int64
}

func (d *Downloader) receive(ctx context.Context, f fetch, p partial) (resumed bool, size int64, err error) {
	ctx, stalled := context.WithCancelCause(ctx)
	defer stalled(nil)
	limit := d.Stall
	if limit == 0 {
		limit = 30 * time.Second
	}
	watch := time.AfterFunc(limit, func() { stalled(fmt.Errorf("the registry sent nothing for %v", limit)) })
	defer watch.Stop()
	response, err := d.get(ctx, f.address, p.had)
	if err != nil {
		return false, 0, cause(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	start := p.had
	switch {
	case response.StatusCode == http.StatusPartialContent && startsAt(response, p.had):
	case response.StatusCode == http.StatusOK, response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// No resuming here, or the part is as long as the whole: from the beginning.
		start = 0
		if err := rewind(p); err != nil {
			return false, 0, err
		}
		if response.StatusCode != http.StatusOK {
			return false, 0, errors.New("the registry cannot go on from the part that is here")
		}
	default:
		return false, 0, statusError(response)
	}
	body := &progress{reader: response.Body, done: start, total: total(start, response), report: d.reporter(ctx, f.pkg), alive: func() { watch.Reset(limit) }}
	n, err := io.Copy(io.MultiWriter(p.file, p.sum), io.LimitReader(body, tarballLimit))
	if err != nil {
		return start > 0, 0, cause(ctx, err)
	}
	return start > 0, start + n, nil
}

// cause prefers why we gave up over how the transport noticed.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

func rewind(p partial) error {
	p.sum.Reset()
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

func startsAt(response *http.Response, had int64) bool {
	return strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", had))
}

func total(start int64, response *http.Response) int64 {
	if response.ContentLength < 0 {
		return 0
	}
	return start + response.ContentLength
}

// statusError turns an answer without a body for us into an error.
func statusError(response *http.Response) error {
	host := response.Request.URL.Host
	switch code := response.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound:
		return fmt.Errorf("%w on %s", errNotFound, host)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fmt.Errorf("%w: %s answered %s\nif it is a private registry, put //%s/:_authToken=... into ~/.npmrc", errFinal, host, response.Status, host)
	case code == http.StatusTooManyRequests, code >= 500, code == http.StatusPartialContent:
		return fmt.Errorf("%s answered %s", host, response.Status)
	default:
		return fmt.Errorf("%w: %s answered %s", errFinal, host, response.Status)
	}
}

// progress counts what arrives and tells that the server is alive.
type progress struct {
	reader      io.Reader
	done, total int64
	report      func(done, total int64)
	alive       func()
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.reader.Read(b)
	p.done += int64(n)
	p.alive()
	p.report(p.done, p.total)
	return n, err
}

func (d *Downloader) reporter(ctx context.Context, pkg Package) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= 100*time.Millisecond {
			last = now
			d.Events.Send(ctx, event.Event{Kind: event.Progress, Step: "download", Part: pkg.String(), Text: pkg.String(), Done: done, Total: total})
		}
	}
}
