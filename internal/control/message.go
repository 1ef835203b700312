package control

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"bottle.internal/internal/link"
	"bottle.internal/internal/secret"
)

// maxText bounds what init says in words, so that its frames stay below PIPE_BUF and are
// never split.
const maxText = 512

// maxSecrets bounds the secrets of one daemon, so that the pipe which init hands them over
// in holds all of them.
const maxSecrets = 32 << 10

var daemonName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Bootstrap is all that init must know and may not read from its environment or a file.
type Bootstrap struct {
	LinkKey link.Key
	// Daemons to run. nil leaves it to BOTTLE_DAEMONS; an empty list runs none.
	Daemons []string
	// Ports on 127.0.0.1 that the gate opens.
	Ports []uint16
	// Secrets by daemon and name, at most 32 KiB for each daemon, which alone gets them.
	Secrets map[string]map[string]secret.Value
}

// Reload asks init to make its daemons read their configuration again.
type Reload struct{}

// Shutdown asks init to end its daemons and itself.
type Shutdown struct{}

// What says what happened to a daemon.
type What string

// The kinds of event.
const (
	Started    What = "start"   // Detail: the pid
	Died       What = "death"   // Detail: the exit status
	Restarting What = "restart" // Detail: the pause before it
	GaveUp     What = "give-up" // Detail: the count; init goes on trying, slowly
	Reloaded   What = "reload"
)

func whats() []What { return []What{Started, Died, Restarting, GaveUp, Reloaded} }

// Event is one thing that happened to a daemon.
type Event struct {
	Daemon string `json:"daemon"`
	What   What   `json:"what"`
	Detail string `json:"detail"`
}

type wireBootstrap struct {
	LinkKey string                       `json:"link_key"`
	Daemons []string                     `json:"daemons"` // null differs from []
	Ports   []uint16                     `json:"ports"`
	Secrets map[string]map[string]string `json:"secrets"` // base64
}

type wireRefused struct {
	Text string `json:"text"`
}

func (b Bootstrap) wire() wireBootstrap {
	wire := wireBootstrap{
		LinkKey: base64.StdEncoding.EncodeToString(b.LinkKey.Reveal()),
		Daemons: b.Daemons, Ports: b.Ports,
		Secrets: make(map[string]map[string]string, len(b.Secrets)),
	}
	for daemon, values := range b.Secrets {
		wire.Secrets[daemon] = make(map[string]string, len(values))
		for name, value := range values {
			wire.Secrets[daemon][name] = base64.StdEncoding.EncodeToString([]byte(value.Reveal()))
		}
	}
	return wire
}

func (w wireBootstrap) parse() (Bootstrap, error) {
	raw, err := base64.StdEncoding.DecodeString(w.LinkKey)
	if err != nil {
		return Bootstrap{}, fmt.Errorf("%w: link_key: %w", ErrProtocol, err)
	}
	key, err := link.ParseKey(raw)
	if err != nil {
		return Bootstrap{}, fmt.Errorf("%w: link_key: %w", ErrProtocol, err)
	}
	b := Bootstrap{LinkKey: key, Daemons: w.Daemons, Ports: w.Ports}
	for daemon, values := range w.Secrets {
		for name, encoded := range values {
			text, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return Bootstrap{}, fmt.Errorf("%w: secrets.%.32q.%.32q: %w", ErrProtocol, daemon, name, err)
			}
			b.addSecret(daemon, name, secret.New(string(text)))
		}
	}
	return b, b.check()
}

func (b *Bootstrap) addSecret(daemon, name string, value secret.Value) {
	if b.Secrets == nil {
		b.Secrets = map[string]map[string]secret.Value{}
	}
	if b.Secrets[daemon] == nil {
		b.Secrets[daemon] = map[string]secret.Value{}
	}
	b.Secrets[daemon][name] = value
}

// check holds on both sides: the host should not find out from a dead container.
func (b Bootstrap) check() error {
	if b.LinkKey.IsZero() {
		return link.ErrNoKey
	}
	for i, name := range b.Daemons {
		if !daemonName.MatchString(name) {
			return fmt.Errorf("%w: daemons[%d]: %.40q is no name of a daemon", ErrProtocol, i, name)
		}
		if slices.Contains(b.Daemons[:i], name) {
			return fmt.Errorf("%w: daemons[%d]: %q is there twice", ErrProtocol, i, name)
		}
	}
	for i, port := range b.Ports {
		if port == 0 || slices.Contains(b.Ports[:i], port) {
			return fmt.Errorf("%w: ports[%d]: %d is zero or there twice", ErrProtocol, i, port)
		}
	}
	for name, values := range b.Secrets {
		if !daemonName.MatchString(name) {
			return fmt.Errorf("%w: secrets: %.40q is no name of a daemon", ErrProtocol, name)
		}
		size := 0
		for key, value := range values {
			if key == "" {
				return fmt.Errorf("%w: secrets.%s: a secret without a name", ErrProtocol, name)
			}
			size += len(key) + len(value.Reveal())
		}
		if size > maxSecrets {
			return fmt.Errorf("%w: secrets.%s: %d bytes, a daemon gets at most %d", ErrProtocol, name, size, maxSecrets)
		}
	}
	return nil
}

func (e Event) check() error {
	if !daemonName.MatchString(e.Daemon) || !slices.Contains(whats(), e.What) {
		return fmt.Errorf("%w: event %.40q of %.40q", ErrProtocol, e.What, e.Daemon)
	}
	return nil
}

// plain makes text from the container fit for a terminal.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
