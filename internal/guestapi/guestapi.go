// Package guestapi is what the host and bottle-guest, the program that runs inside the VM,
// have agreed on: where things are in there, how the program is called, and how its answer
// is read.
//
// What a command prints in the guest decides nothing. The only fact taken from its
// output is the exit frame that carries the nonce of this very call; everything else
// passes through untouched. Both sides are built with this package, so it imports nothing
// of ours. What the guest runs is below internal/guest.
package guestapi

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Where things are in the guest.
const (
	Program    = "/usr/local/bin/bottle-guest"
	RunDir     = "/run/bottle"       // sockets, environment, sessions; root's
	EnvFile    = RunDir + "/env"     // JSON object of strings, 0600, root's
	SessionDir = RunDir + "/session" // one file for each terminal session
	ReadyFile  = RunDir + "/ready"   // exists once provisioning ended well
	PromptFile = AgentHome + "/.bottle/prompt.md"
	CABundle   = "/etc/ssl/certs/ca-certificates.crt"
)

// The account that agents run as.
const (
	AgentUser    = "agent"
	AgentUID     = 1000
	AgentGID     = 1000
	AgentHome    = "/home/agent"
	AgentWorkdir = AgentHome + "/work"
	RootUser     = "root"
)

// MaxEnvSize bounds the environment file, in bytes.
const MaxEnvSize = 1 << 20

// SocketPath is where the VM tool mounts the host socket that stands for a port.
func SocketPath(port uint16) string {
	return path.Join(RunDir, strconv.Itoa(int(port))+".sock")
}

// Nonce marks the exit frame of one call: 16 hexadecimal digits.
type Nonce string

// NewNonce draws a nonce.
func NewNonce() Nonce {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: it aborts the program instead
	return Nonce(hex.EncodeToString(raw[:]))
}

// ParseNonce checks a nonce that came from a command line.
func ParseNonce(text string) (Nonce, error) {
	if len(text) != 16 || strings.Trim(text, hexDigits) != "" {
		return "", fmt.Errorf("nonce %.40q: want 16 digits from 0-9a-f", text)
	}
	return Nonce(text), nil
}

// No regular expressions here: to compile these takes every start of bottle-guest in an
// emulated machine 15 ms, while a person waits. What Trim leaves is not allowed.
const (
	hexDigits = "0123456789abcdef"
	digits    = "0123456789"
	small     = "abcdefghijklmnopqrstuvwxyz"
	letters   = small + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	maxName   = 64 // of a session and of a terminal
)

// only reports whether text is not empty, begins with one of first, and has nothing but
// first and more.
func only(text, first, more string) bool {
	return text != "" && strings.Contains(first, text[:1]) && strings.Trim(text, first+more) == ""
}

// ValidSession reports whether name can name a terminal session.
func ValidSession(name string) bool { return len(name) <= maxName && only(name, small+digits, "-") }

// ValidTerm reports whether name looks like a value of TERM.
func ValidTerm(name string) bool { return len(name) <= maxName && only(name, letters+digits, "._+-") }

// ValidEnvName reports whether name can be the name of an environment variable.
func ValidEnvName(name string) bool { return only(name, letters+"_", digits) }
