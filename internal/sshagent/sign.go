package sshagent

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// userauth is the data that a client signs to log in with a key (RFC 4252, section 7).
type userauth struct {
	SessionID []byte
	Type      byte
	User      string
	Service   string
	Method    string
	Signed    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"`
}

// hostBound follows it in OpenSSH's method.
type hostBound struct{ HostKey []byte }

const (
	userauthRequest = 50
	methodPlain     = "publickey"
	methodHostBound = "publickey-hostbound-v00@openssh.com"
	flagSHA256      = 2
	flagSHA512      = 4
)

func (s *session) sign(known *remote, message []byte) ([]byte, error) {
	var request struct {
		Key   []byte `sshtype:"13"`
		Data  []byte
		Flags uint32
	}
	if err := ssh.Unmarshal(message, &request); err != nil {
		return nil, fmt.Errorf("%w: a malformed request", ErrRefused)
	}
	switch {
	case s.bound == nil:
		return nil, fmt.Errorf("%w: the session is not bound to a host", ErrRefused)
	case !bytes.Equal(request.Key, known.signer.PublicKey().Marshal()):
		return nil, fmt.Errorf("%w: another key", ErrRefused)
	}
	algorithm, err := known.algorithm(request.Flags)
	if err != nil {
		return nil, err
	}
	if err := s.checkLogin(known, request.Data, algorithm); err != nil {
		return nil, err
	}
	signature, err := known.signer.SignWithAlgorithm(rand.Reader, request.Data, algorithm)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return ssh.Marshal(struct {
		Signature []byte `sshtype:"14"`
	}{ssh.Marshal(signature)}), nil
}

// algorithm is what the flags ask for; SHA-1 is not signed.
func (r *remote) algorithm(flags uint32) (string, error) {
	kind := r.signer.PublicKey().Type()
	switch {
	case kind == ssh.KeyAlgoRSA && flags == flagSHA512:
		return ssh.KeyAlgoRSASHA512, nil
	case kind == ssh.KeyAlgoRSA && flags == flagSHA256:
		return ssh.KeyAlgoRSASHA256, nil
	case kind != ssh.KeyAlgoRSA && flags&^(flagSHA256|flagSHA512) == 0: // they mean nothing here
		return kind, nil
	}
	return "", fmt.Errorf("%w: flags %d for a key of type %s", ErrRefused, flags, kind)
}

// checkLogin admits only the request to log in to the bound session.
func (s *session) checkLogin(known *remote, data []byte, algorithm string) error {
	var login userauth
	if err := ssh.Unmarshal(data, &login); err != nil {
		return fmt.Errorf("%w: what is to be signed is no login", ErrRefused)
	}
	switch {
	case login.Type != userauthRequest, !login.Signed, login.Service != "ssh-connection":
		return fmt.Errorf("%w: what is to be signed is no login", ErrRefused)
	case !bytes.Equal(login.SessionID, s.bound):
		return fmt.Errorf("%w: a login to another session", ErrRefused)
	case login.User != known.user:
		return fmt.Errorf("%w: a login as another user", ErrRefused)
	case login.Algorithm != algorithm, !bytes.Equal(login.Key, known.signer.PublicKey().Marshal()):
		return fmt.Errorf("%w: a login with another key", ErrRefused)
	}
	switch login.Method {
	case methodPlain:
		if len(login.Rest) == 0 {
			return nil
		}
	case methodHostBound:
		var bound hostBound
		if err := ssh.Unmarshal(login.Rest, &bound); err == nil && bytes.Equal(bound.HostKey, known.hostKey) {
			return nil
		}
	}
	return fmt.Errorf("%w: an unknown way to log in", ErrRefused)
}
