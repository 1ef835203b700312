package sshagent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/secret"
)

// Remote is what the agent knows of one remote.
type Remote struct {
	Name         string
	User         string
	KnownHostKey string       // "HOST TYPE KEY" as in known_hosts
	Key          secret.Value // private key, OpenSSH or PEM, without a passphrase
}

// Bounds of what a session may do and of how many there are.
const (
	MaxMessage  = 64 << 10
	maxSessions = 64
	sessionLife = 2 * time.Minute
	maxRequests = 16 // ssh needs three
)

// ErrRefused is wrapped by every refusal; ssh is answered with the agent's failure then.
var ErrRefused = errors.New("the ssh agent refuses")

// ErrPassphrase is wrapped by New for a key that is protected by a passphrase.
var ErrPassphrase = errors.New("the key has a passphrase: make one without for this remote, such as a deploy key")

// Agent answers for all remotes. It may be used from many goroutines.
type Agent struct {
	remotes map[string]*remote
	now     func() time.Time

	mu       sync.Mutex
	sessions map[sessionID]*session
}

type remote struct {
	user    string
	hostKey []byte // as on the wire
	pinned  ssh.PublicKey
	signer  ssh.AlgorithmSigner
}

type sessionID struct{ remote, session string }

// session is what one connection has proved.
type session struct {
	expires  time.Time
	requests int
	bound    []byte // the ssh session id; nil before it is bound
}

// New reads the keys. now is [time.Now] outside tests.
func New(remotes []Remote, now func() time.Time) (*Agent, error) {
	a := &Agent{remotes: map[string]*remote{}, now: now, sessions: map[sessionID]*session{}}
	for _, r := range remotes {
		known, err := newRemote(r)
		if err != nil {
			return nil, fmt.Errorf("reading the ssh key of %s: %w", r.Name, err)
		}
		a.remotes[r.Name] = known
	}
	return a, nil
}

func newRemote(r Remote) (*remote, error) {
	_, key, ok := strings.Cut(r.KnownHostKey, " ")
	if !ok {
		return nil, errors.New("known_host_key is not HOST TYPE KEY")
	}
	pinned, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil || len(rest) > 0 {
		return nil, errors.New("known_host_key is not HOST TYPE KEY")
	}
	signer, err := ssh.ParsePrivateKey([]byte(r.Key.Reveal()))
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, errors.New("it is no private key that can be read") // the error may quote it
	}
	algorithms, ok := signer.(ssh.AlgorithmSigner)
	if !ok || r.User == "" {
		return nil, errors.New("the key cannot be used, or there is no user")
	}
	return &remote{user: r.User, hostKey: pinned.Marshal(), pinned: pinned, signer: algorithms}, nil
}

// Handle answers one message of one session, without its length. It never returns an empty
// answer without an error; the error says what was refused and holds no secret.
func (a *Agent) Handle(remoteName, sessionName string, message []byte) ([]byte, error) {
	known, ok := a.remotes[remoteName]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: no such remote", ErrRefused)
	case len(sessionName) < 8 || len(sessionName) > 64:
		return nil, fmt.Errorf("%w: no name of a session", ErrRefused)
	case len(message) == 0 || len(message) > MaxMessage:
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrRefused, len(message))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	current, err := a.session(sessionID{remoteName, sessionName})
	if err != nil {
		return nil, err
	}
	return current.handle(known, message)
}

// session finds or begins one.
func (a *Agent) session(id sessionID) (*session, error) {
	now := a.now()
	for old, s := range a.sessions {
		if now.After(s.expires) {
			delete(a.sessions, old)
		}
	}
	s, ok := a.sessions[id]
	if !ok {
		if len(a.sessions) >= maxSessions {
			return nil, fmt.Errorf("%w: too many sessions", ErrRefused)
		}
		s = &session{expires: now.Add(sessionLife)}
		a.sessions[id] = s
	}
	if s.requests++; s.requests > maxRequests {
		return nil, fmt.Errorf("%w: too many requests in one session", ErrRefused)
	}
	return s, nil
}

// Numbers of the agent's protocol.
const (
	agentSuccess      = 6
	requestIdentities = 11
	signRequest       = 13
	extension         = 27
)

func (s *session) handle(known *remote, message []byte) ([]byte, error) {
	switch message[0] {
	case requestIdentities:
		if len(message) != 1 {
			return nil, fmt.Errorf("%w: a malformed request", ErrRefused)
		}
		return known.identities(), nil
	case extension:
		return s.bind(known, message)
	case signRequest:
		return s.sign(known, message)
	}
	return nil, fmt.Errorf("%w: request %d", ErrRefused, message[0])
}

func (r *remote) identities() []byte {
	return ssh.Marshal(struct {
		Count   uint32 `sshtype:"12"`
		Blob    []byte
		Comment string
	}{1, r.signer.PublicKey().Marshal(), "bottle"})
}

// bind takes the server's word, signed, on what the session's id is.
func (s *session) bind(known *remote, message []byte) ([]byte, error) {
	var request struct {
		Name       string `sshtype:"27"`
		HostKey    []byte
		SessionID  []byte
		Signature  []byte
		Forwarding bool
	}
	if err := ssh.Unmarshal(message, &request); err != nil {
		return nil, fmt.Errorf("%w: a malformed extension", ErrRefused)
	}
	var signature ssh.Signature
	switch {
	case request.Name != "session-bind@openssh.com":
		return nil, fmt.Errorf("%w: an unknown extension", ErrRefused)
	case request.Forwarding:
		return nil, fmt.Errorf("%w: a forwarded agent", ErrRefused)
	case s.bound != nil:
		return nil, fmt.Errorf("%w: the session is bound already", ErrRefused)
	case !bytes.Equal(request.HostKey, known.hostKey):
		return nil, fmt.Errorf("%w: the host key is not the pinned one", ErrRefused)
	case len(request.SessionID) < 20 || len(request.SessionID) > 64:
		return nil, fmt.Errorf("%w: a malformed session id", ErrRefused)
	case ssh.Unmarshal(request.Signature, &signature) != nil || signature.Format == ssh.KeyAlgoRSA:
		return nil, fmt.Errorf("%w: a malformed signature of the host", ErrRefused)
	}
	if err := known.pinned.Verify(request.SessionID, &signature); err != nil {
		return nil, fmt.Errorf("%w: the host's signature is wrong", ErrRefused)
	}
	s.bound = bytes.Clone(request.SessionID)
	return []byte{agentSuccess}, nil
}
