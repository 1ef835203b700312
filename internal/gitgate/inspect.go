package gitgate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/gitgate/pushscan"
	"bottle.internal/internal/printable"
)

// scanWorkers is how many objects are scanned at a time.
const scanWorkers = 2

// inspection is the scan of one push.
type inspection struct {
	quarantine *quarantine
	scan       *pushscan.Scan
	rules      *pushscan.Rules

	mu      sync.Mutex
	special map[string]string // blobs with a name that makes further rules apply
}

// inspect scans all of it; trees go first, since they know every name of a blob.
func (q *quarantine) inspect(ctx context.Context, all contents, limits Limits) error {
	scan, err := q.gate.rules.NewScan(q.gate.config.Load().canaries, limits.InflatedBytes)
	if err != nil {
		return err
	}
	in := &inspection{quarantine: q, scan: scan, rules: q.gate.rules, special: map[string]string{}}
	for _, objects := range [][]object{append(all.commits, all.trees...), all.blobs} {
		group, ctx := errgroup.WithContext(ctx)
		for worker := range scanWorkers {
			group.Go(func() error { return in.work(ctx, objects, worker) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// work scans every scanWorkers-th object, read through one cat-file.
func (in *inspection) work(ctx context.Context, objects []object, first int) error {
	if first >= len(objects) {
		return nil
	}
	var ask bytes.Buffer
	for i := first; i < len(objects); i += scanWorkers {
		ask.WriteString(objects[i].oid + "\n")
	}
	run := in.quarantine.run("cat-file", "--batch", "--buffer")
	run.stdin = &ask
	return in.quarantine.gate.pipe(ctx, run, func(r *bufio.Reader) error {
		var buffer []byte
		for i := first; i < len(objects); i += scanWorkers {
			data, err := readObject(r, objects[i], buffer)
			if err != nil {
				return err
			}
			buffer = data
			if err := in.object(ctx, objects[i], data); err != nil {
				return err
			}
		}
		return nil
	})
}

// readObject reads one answer of cat-file into buffer when it is large enough.
func readObject(r *bufio.Reader, o object, buffer []byte) ([]byte, error) {
	head, err := r.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", short(o.oid), err)
	}
	if head != fmt.Sprintf("%s %s %d\n", o.oid, o.kind, o.size) {
		return nil, fmt.Errorf("reading %s: git answers %.80q", short(o.oid), head)
	}
	if int64(cap(buffer)) < o.size+1 {
		buffer = make([]byte, o.size+1)
	}
	buffer = buffer[:o.size+1]
	if _, err := io.ReadFull(r, buffer); err != nil {
		return nil, fmt.Errorf("reading %s: %w", short(o.oid), err)
	}
	return buffer[:o.size], nil
}

func (in *inspection) object(ctx context.Context, o object, data []byte) error {
	var found *pushscan.Finding
	var err error
	switch o.kind {
	case "blob":
		found, err = in.blob(ctx, o, data)
	case "tree":
		found, err = in.tree(ctx, o, data)
	default:
		found, err = in.scan.Text(ctx, "("+o.kind+")", data)
	}
	why := refusal{commit: o.commit, path: o.path}
	switch {
	case errors.Is(err, pushscan.ErrOpaque):
		why.rule, why.reason = ruleOpaque, printable.ASCII(err.Error(), 200)
	case errors.Is(err, pushscan.ErrTooLarge):
		why.rule, why.reason = ruleLimit, err.Error()
	case err != nil:
		return err
	case found == nil:
		return nil
	default:
		why.rule, why.path, why.line, why.reason = found.Rule, found.Path, found.Line, "a secret was found"
		why.canary = found.Fingerprint
	}
	return &why
}

func (in *inspection) blob(ctx context.Context, o object, data []byte) (*pushscan.Finding, error) {
	in.mu.Lock()
	special, ok := in.special[o.oid]
	in.mu.Unlock()
	found, err := in.scan.Blob(ctx, o.path, data)
	if ok && found == nil && err == nil && special != o.path {
		return in.scan.Text(ctx, special, data)
	}
	return found, err
}

// tree scans the names in it, and the pointers of submodules as hex digits: unlike those of
// other entries, they can be made to say anything.
func (in *inspection) tree(ctx context.Context, o object, data []byte) (*pushscan.Finding, error) {
	var text strings.Builder
	names := []string{}
	for rest := data; len(rest) > 0; {
		head, after, ok := bytes.Cut(rest, []byte{0})
		mode, name, isEntry := strings.Cut(string(head), " ")
		if !ok || !isEntry || len(after) < 20 {
			return nil, fmt.Errorf("%w: a damaged tree", pushscan.ErrOpaque)
		}
		oid := hex.EncodeToString(after[:20])
		rest = after[20:]
		names = append(names, name)
		text.WriteString(strings.ReplaceAll(name, "\n", " ")) // one line an entry
		if mode == "160000" {
			text.WriteString(" " + oid)
		}
		text.WriteByte('\n')
		if found, err := in.name(o, name, oid); found != nil || err != nil {
			return found, err
		}
	}
	found, err := in.scan.Text(ctx, "", []byte(text.String()))
	if found != nil && found.Line >= 1 && found.Line <= len(names) {
		// The name may be the secret itself: only the directory is told.
		found.Path, found.Line = dirName(o.path), 0
	}
	return found, err
}

func (in *inspection) name(o object, name, oid string) (*pushscan.Finding, error) {
	rule, err := in.rules.Name(name)
	if err != nil {
		return nil, err
	}
	if rule != "" {
		return &pushscan.Finding{Rule: rule, Path: joinPath(o.path, name)}, nil
	}
	special, err := in.rules.IsSpecial(name)
	if err == nil && special {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.special[oid] = joinPath(o.path, name)
	}
	return nil, err
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func dirName(path string) string { return "the name of an entry in /" + path }

// short is the name of an object in messages.
func short(oid string) string { return oid[:min(len(oid), 10)] }
