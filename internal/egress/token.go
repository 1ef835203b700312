package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/needle"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/secret"
)

// maxToken bounds a token; the set of its spellings grows with it.
const maxToken = 4 << 10

// credential is a token that is ready to be sent, and to be found in what comes back.
type credential struct {
	token   secret.Value
	secrets *needle.Set // of this token and the ones before it
	serial  int
}

// tokenBox holds the credential of one route, which may be replaced while requests run.
type tokenBox struct {
	current atomic.Pointer[credential]
	problem string // why there is none; fixed

	mu    sync.Mutex // held while the host is asked: everybody wants the same answer
	asked time.Time
	old   []secret.Value
}

// checkToken refuses what could not be sent as the value of a header, or not be found in
// an answer.
func checkToken(token secret.Value) error {
	text := token.Reveal()
	switch {
	case text == "":
		return errors.New("it is empty")
	case len(text) < needle.MinLength:
		return fmt.Errorf("it has less than %d bytes", needle.MinLength)
	case len(text) > maxToken:
		return fmt.Errorf("it has more than %d bytes", maxToken)
	case !printable.IsASCII(text) || text[0] == ' ' || text[len(text)-1] == ' ':
		return errors.New("it holds a line break, a space at an end, or bytes outside ASCII")
	}
	return nil
}

// set replaces the token. It is called by one goroutine at a time.
func (b *tokenBox) set(token secret.Value) {
	serial := 1
	if before := b.current.Load(); before != nil {
		serial = before.serial + 1
		b.old = append(b.old, before.token)
		b.old = b.old[max(0, len(b.old)-2):] // an upstream may still know these
	}
	needles := map[int][]string{0: needle.Spellings(token.Reveal())}
	for i, old := range b.old {
		needles[i+1] = needle.Spellings(old.Reveal())
	}
	b.current.Store(&credential{token: token, secrets: needle.NewSet(needles), serial: serial})
}

// secrets is what must not come back on this route; nil without a credential.
func (rt *route) secrets() *needle.Set {
	if used := rt.token.current.Load(); used != nil {
		return used.secrets
	}
	return nil
}

// value is the content of the route's header.
func (rt *route) value(used *credential) string {
	if rt.Auth.Scheme == "" {
		return used.token.Reveal()
	}
	return rt.Auth.Scheme + " " + used.token.Reveal()
}

type tokenQuestion struct {
	Route int `json:"route"`
}

type tokenAnswer struct {
	Token string `json:"token"`
}

// refresh asks the host for a new token after the upstream refused the one used. It
// reports whether there is another one now; many requests ask once.
func (s *Server) refresh(e *exchange, used *credential) bool {
	rt := e.route
	rt.token.mu.Lock()
	defer rt.token.mu.Unlock()
	if rt.token.current.Load().serial != used.serial {
		return true
	}
	// The index means something else to the host once the configuration is another one.
	if s.snapshot.Load() != e.snap || s.now().Sub(rt.token.asked) < s.limits.Refresh {
		return false
	}
	rt.token.asked = s.now()
	problem := s.ask(e, used)
	l := line{Event: eventRefresh, Host: rt.Host, Port: rt.Port, Route: &rt.index}
	if problem != nil {
		l.Problem = printable.ASCII(problem.Error(), 200)
	}
	s.journal.Write(l)
	return problem == nil
}

func (s *Server) ask(e *exchange, used *credential) error {
	// The asking outlives the request that began it: others wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), s.limits.Ask)
	defer cancel()
	var answer tokenAnswer
	if err := s.channel.Ask(ctx, "token", tokenQuestion{e.route.index}, &answer); err != nil {
		return err
	}
	token := secret.New(answer.Token)
	if err := checkToken(token); err != nil {
		return fmt.Errorf("using the new token: %w", err)
	}
	switch {
	case s.snapshot.Load() != e.snap:
		return errors.New("the configuration changed meanwhile")
	case token.Reveal() == used.token.Reveal():
		return errors.New("the host has no other token")
	}
	e.route.token.set(token)
	return nil
}
