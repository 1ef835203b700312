package gitgate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxPkt is the payload of the largest pkt-line.
const maxPkt = 65516

// errProtocol is wrapped by every refusal of bytes that are no push.
var errProtocol = errors.New("not a git push")

// readPkt returns one payload; flush is true, and the payload nil, for a flush packet.
func readPkt(r *bufio.Reader) (payload []byte, flush bool, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, false, fmt.Errorf("%w: torn pkt-line", errProtocol)
	}
	size, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("%w: bad length of a pkt-line", errProtocol)
	case size == 0:
		return nil, true, nil
	case size <= 4 || size > maxPkt+4:
		return nil, false, fmt.Errorf("%w: pkt-line of length %d", errProtocol, size)
	}
	payload = make([]byte, size-4)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, false, fmt.Errorf("%w: torn pkt-line", errProtocol)
	}
	return payload, false, nil
}

// appendPkt appends text as one pkt-line; it is at most maxPkt long.
func appendPkt(to []byte, text string) []byte {
	return append(fmt.Appendf(to, "%04x", len(text)+4), text...)
}

// command asks to set one ref.
type command struct{ Old, New, Ref string }

// pushRequest is the head of a push; the pack follows it.
type pushRequest struct {
	Commands []command
	Caps     []string
	Shallow  bool
}

func (p pushRequest) has(capability string) bool {
	return slices.Contains(p.Caps, capability)
}

// Bounds of the head of a push. More refs than allowed still get their answer.
const (
	maxCommands = 256
	maxCaps     = 4096
)

// readPushRequest reads up to the pack. No command at all is the probe of a client that
// is about to send much.
func readPushRequest(r *bufio.Reader) (pushRequest, error) {
	var request pushRequest
	for {
		payload, flush, err := readPkt(r)
		if err != nil || flush {
			return request, err
		}
		text := strings.TrimSuffix(string(payload), "\n")
		if oid, ok := strings.CutPrefix(text, "shallow "); ok && len(request.Commands) == 0 && oidPattern.MatchString(oid) {
			request.Shallow = true
			continue
		}
		text, caps, hasCaps := strings.Cut(text, "\x00")
		if hasCaps != (len(request.Commands) == 0) || len(caps) > maxCaps {
			return request, fmt.Errorf("%w: misplaced capabilities", errProtocol)
		}
		if hasCaps {
			request.Caps = strings.Fields(caps)
		}
		cmd, err := parseCommand(text)
		if err != nil {
			return request, err
		}
		if request.Commands = append(request.Commands, cmd); len(request.Commands) > maxCommands {
			return request, fmt.Errorf("%w: more than %d refs", errProtocol, maxCommands)
		}
	}
}

func parseCommand(text string) (command, error) {
	old, rest, _ := strings.Cut(text, " ")
	oid, ref, ok := strings.Cut(rest, " ")
	if !ok || !oidPattern.MatchString(old) || !oidPattern.MatchString(oid) || ref == "" || len(ref) > 4096 || strings.ContainsAny(ref, "\x00\r\n") {
		return command{}, fmt.Errorf("%w: a line that is no command", errProtocol)
	}
	return command{Old: old, New: oid, Ref: ref}, nil
}
