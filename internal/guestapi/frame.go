package guestapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

const (
	frameMark   = 0x1e // ASCII record separator: no terminal shows it, no text has it
	framePrefix = "\x1ebottle-exit:"
)

// Frame is what bottle-guest prints when the command ended with code.
func Frame(nonce Nonce, code int) string {
	return framePrefix + string(nonce) + ":" + strconv.Itoa(code) + "\x1e\n"
}

// Proved is what bottle-guest provision prints on its standard output, before it reads
// anything, once the daemon behind the port has answered.
func Proved(nonce Nonce) string { return "bottle-proved:" + string(nonce) + "\n" }

// ErrNoExit says that no exit frame came: the machine, the VM tool or bottle-guest
// itself failed, and the command's exit code is not known.
var ErrNoExit = errors.New("the guest reported no exit code")

// FrameFilter passes a stream on and takes the exit frame out of it. It holds back
// only bytes that may still become the frame. One goroutine writes; Code and Result
// are valid after Close.
type FrameFilter struct {
	w      io.Writer
	prefix []byte // up to and with the colon after the nonce
	held   []byte
	code   int
	seen   bool
}

// NewFrameFilter filters what is written on its way to w.
func NewFrameFilter(w io.Writer, nonce Nonce) *FrameFilter {
	return &FrameFilter{w: w, prefix: []byte(framePrefix + string(nonce) + ":")}
}

// Write implements [io.Writer].
func (f *FrameFilter) Write(p []byte) (int, error) {
	if err := f.filter(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close passes on what was held back. It does not close the writer underneath.
func (f *FrameFilter) Close() error { return f.filter(nil, true) }

// Code is the reported exit code, from 0 to 255.
func (f *FrameFilter) Code() (code int, ok bool) { return f.code, f.seen }

// Result joins what the guest said with how the VM tool ended. With a frame it is the
// guest's code and no error. Without one it is the tool's code and an error that
// wraps ErrNoExit and toolErr.
func (f *FrameFilter) Result(toolCode int, toolErr error) (int, error) {
	switch {
	case f.seen:
		return f.code, nil
	case toolErr != nil:
		return toolCode, fmt.Errorf("%w: %w", ErrNoExit, toolErr)
	default:
		return toolCode, fmt.Errorf("%w: the VM tool ended with status %d", ErrNoExit, toolCode)
	}
}

func (f *FrameFilter) filter(p []byte, last bool) error {
	data := p
	if len(f.held) > 0 {
		data = slices.Concat(f.held, p)
		f.held = nil
	}
	for len(data) > 0 {
		start := bytes.IndexByte(data, frameMark)
		if f.seen || start < 0 {
			return f.emit(data)
		}
		size, code, fate := f.match(data[start:], last)
		if fate == matchYes {
			f.code, f.seen = code, true
			if err := f.emit(data[:start]); err != nil {
				return err
			}
			data = data[start+size:]
			continue
		}
		if fate == matchMore {
			f.held = bytes.Clone(data[start:])
			return f.emit(data[:start])
		}
		if err := f.emit(data[:start+1]); err != nil {
			return err
		}
		data = data[start+1:]
	}
	return nil
}

func (f *FrameFilter) emit(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := f.w.Write(p)
	return err
}

type match int

const (
	matchNo   match = iota // data does not begin with the frame
	matchMore              // it may, once more bytes are here
	matchYes
)

// match looks for the frame at the very beginning of data.
func (f *FrameFilter) match(data []byte, last bool) (size, code int, fate match) {
	more := matchMore
	if last {
		more = matchNo
	}
	if len(data) < len(f.prefix) {
		if bytes.HasPrefix(f.prefix, data) {
			return 0, 0, more
		}
		return 0, 0, matchNo
	}
	rest, ok := bytes.CutPrefix(data, f.prefix)
	if !ok {
		return 0, 0, matchNo
	}
	end := bytes.IndexByte(rest, frameMark)
	digits := rest
	if end >= 0 {
		digits = rest[:end]
	}
	code, ok = parseCode(digits)
	if end < 0 {
		if ok || len(digits) == 0 {
			return 0, 0, more
		}
		return 0, 0, matchNo
	}
	if !ok {
		return 0, 0, matchNo
	}
	size = len(f.prefix) + end + 1
	newline, decided := lineEnd(data[size:])
	if !decided && !last {
		return 0, 0, matchMore
	}
	return size + newline, code, matchYes
}

// lineEnd measures the newline after a frame. A terminal makes \n into \r\n.
func lineEnd(after []byte) (size int, decided bool) {
	switch {
	case bytes.HasPrefix(after, []byte("\n")):
		return 1, true
	case bytes.HasPrefix(after, []byte("\r\n")):
		return 2, true
	case len(after) == 0 || string(after) == "\r":
		return 0, false
	default:
		return 0, true
	}
}

// parseCode accepts the one spelling of 0 to 255 that Frame prints.
func parseCode(digits []byte) (int, bool) {
	if len(digits) == 0 || len(digits) > 3 {
		return 0, false
	}
	code, err := strconv.ParseUint(string(digits), 10, 8)
	if err != nil || strconv.FormatUint(code, 10) != string(digits) {
		return 0, false
	}
	return int(code), true
}
