package pushscan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/sources"

	"bottle.internal/internal/canary"
)

// Finding says where a secret is; never what it is.
type Finding struct {
	Rule string
	Line int    // from 1; 0 where lines mean nothing
	Path string // the name that was given, and the names inside archives after "!"
	// Fingerprint is that of a canary; "" for all else.
	Fingerprint string
}

// CanaryRule is the rule of a canary that was found.
const CanaryRule = "canary"

// ErrOpaque is wrapped when bytes cannot be looked into: a damaged, encrypted or too deeply
// nested archive, or one of a kind that nobody here can open.
var ErrOpaque = errors.New("it cannot be looked into")

// ErrTooLarge is wrapped when what comes out of archives is more than the scan may read.
var ErrTooLarge = errors.New("its archives hold too much")

// Scan looks at the objects of one push. Its methods may be called from many goroutines.
type Scan struct {
	rules    *compiled
	canaries *canary.Finder
	left     atomic.Int64 // bytes that archives may still give
}

// NewScan begins a scan; archives may give at most unpacked bytes together.
func (r *Rules) NewScan(canaries *canary.Finder, unpacked int64) (*Scan, error) {
	c, err := r.compiled()
	if err != nil {
		return nil, err
	}
	s := &Scan{rules: c, canaries: canaries}
	s.left.Store(unpacked)
	return s, nil
}

// Chunks of a blob. They overlap, so that what lies across a border is seen whole in one
// of the two; begins stay aligned for encodings of encodings.
const (
	chunkSize = 256 << 10
	overlap   = 24 << 10
	alignment = 256
)

// Text scans bytes under a name. It returns the first finding, or nil.
func (s *Scan) Text(ctx context.Context, path string, data []byte) (*Finding, error) {
	line := 1
	for begin := 0; begin < len(data) || begin == 0; {
		end := min(begin+chunkSize, len(data))
		chunk := data[begin:end]
		if found, err := s.chunk(ctx, chunk, path, line); found != nil || err != nil {
			return found, err
		}
		if end == len(data) {
			return nil, nil //nolint:nilnil // nothing found and nothing wrong
		}
		next := alignedBefore(data, begin, end-overlap)
		line += bytes.Count(data[begin:next], []byte("\n"))
		begin = next
	}
	return nil, nil //nolint:nilnil // nothing found and nothing wrong
}

// alignedBefore finds a begin for the next chunk at or before at: after a line's end if one
// is near, else at a multiple of the alignment from the begin of the run of text, so that
// an encoded run is cut between its groups.
func alignedBefore(data []byte, begin, at int) int {
	const near = overlap / 2
	if nl := bytes.LastIndexByte(data[at-near:at], '\n'); nl >= 0 {
		return at - near + nl + 1
	}
	run := bytes.LastIndexFunc(data[begin:at], func(r rune) bool { return !isEncoded(r) })
	run += begin + 1 // LastIndexFunc gives -1 for none: then the chunk's own, aligned begin
	aligned := at - (at-run)%alignment
	return max(aligned, begin+1)
}

func isEncoded(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '+' || r == '/' || r == '-' || r == '_'
}

func (s *Scan) chunk(ctx context.Context, data []byte, path string, line int) (*Finding, error) {
	if at, fingerprint := s.canaries.At(data); at >= 0 {
		return &Finding{CanaryRule, line + bytes.Count(data[:at], []byte("\n")), path, fingerprint}, nil
	}
	nuls := bytes.Count(data, []byte{0})
	text := data
	if nuls > 0 {
		text = printableRuns(data)
	}
	found, err := s.detect(ctx, string(text), path, line)
	// Text of two bytes a letter looks like text with NULs.
	if found == nil && err == nil && nuls > len(data)/4 {
		return s.detect(ctx, string(printableRuns(bytes.ReplaceAll(data, []byte{0}, nil))), path, line)
	}
	return found, err
}

// minRun is shorter than anything that a rule finds.
const minRun = 8

// printableRuns keeps of binary data what could be text, and every line's end, so that
// lines can still be counted. The rules read noise at 2 MB a second.
func printableRuns(data []byte) []byte {
	var out []byte
	for begin := 0; begin < len(data); {
		end := begin
		for end < len(data) && isText(data[end]) {
			end++
		}
		if end-begin >= minRun {
			out = append(append(out, data[begin:end]...), ' ')
		} else {
			out = append(out, bytes.Repeat([]byte("\n"), bytes.Count(data[begin:end], []byte("\n")))...)
		}
		begin = end + 1
	}
	return out
}

func isText(b byte) bool { return b >= ' ' && b != 0x7f || b == '\n' || b == '\t' || b == '\r' }

// hasEncoded reports whether there is anything that the decoder would look at: 16 letters
// of base64 in a row at least, or the begin of an escape.
func hasEncoded(text string) bool {
	if strings.Contains(text, "%") || strings.Contains(text, "U+") || strings.Contains(text, `\u`) || strings.Contains(text, `\U`) {
		return true
	}
	run := 0
	for i := range len(text) {
		if !isEncoded(rune(text[i])) {
			run = 0
			continue
		}
		if run++; run == 16 {
			return true
		}
	}
	return false
}

func (s *Scan) detect(ctx context.Context, text, path string, line int) (*Finding, error) {
	detector := s.rules.plain
	if hasEncoded(text) {
		detector = s.rules.detector
	}
	findings := detector.DetectContext(ctx, detect.Fragment(sources.Fragment{Raw: text, FilePath: path, StartLine: line})) //nolint:staticcheck // v8 takes no other type
	// gitleaks ends early without a word.
	if ctx.Err() != nil {
		return nil, fmt.Errorf("scanning %.80q: %w", path, context.Cause(ctx))
	}
	if len(findings) == 0 {
		return nil, nil //nolint:nilnil // nothing found and nothing wrong
	}
	first := findings[0]
	return &Finding{Rule: first.RuleID, Line: first.StartLine, Path: path}, nil
}
