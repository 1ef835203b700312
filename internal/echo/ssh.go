package echo

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/netutil"

	"bottle.internal/internal/secret"
)

const (
	maxSSH       = 16
	loginTime    = 10 * time.Second
	sessionTime  = 2 * time.Minute
	maxExecBytes = 256
)

// NewKey makes a key pair for ssh: the private key as PEM, and the public one as the line
// that authorized_keys and, after a host name, known_hosts have.
func NewKey(random io.Reader) (private secret.Value, public string, err error) {
	publicKey, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("making an ssh key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("writing an ssh key: %w", err)
	}
	line, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("writing an ssh key: %w", err)
	}
	return secret.New(string(pem.EncodeToMemory(block))), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))), nil
}

// gitServer is the ssh half.
type gitServer struct {
	listener     net.Listener
	config       *ssh.ServerConfig
	repositories *repositories
	report       *reporter
}

func newGitServer(ctx context.Context, boot gitWire, report *reporter) (*gitServer, error) {
	host, err := ssh.ParsePrivateKey([]byte(boot.HostKey))
	if err != nil {
		return nil, errors.New("reading the bootstrap: git.host_key is no private key")
	}
	authorized, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(boot.AuthorizedKey))
	if err != nil || len(rest) > 0 {
		return nil, errors.New("reading the bootstrap: git.authorized_key is not one public key")
	}
	repositories, err := newRepositories(ctx, boot.Repositories)
	if err != nil {
		return nil, fmt.Errorf("making the repositories: %w", err)
	}
	s := &gitServer{config: sshConfig(host, authorized), repositories: repositories, report: report}
	var config net.ListenConfig
	if s.listener, err = config.Listen(ctx, "tcp", boot.Listen); err != nil {
		repositories.remove()
		return nil, fmt.Errorf("listening on %s: %w", boot.Listen, err)
	}
	return s, nil
}

// sshConfig lets user git in with one key.
func sshConfig(host ssh.Signer, authorized ssh.PublicKey) *ssh.ServerConfig {
	want := authorized.Marshal()
	config := &ssh.ServerConfig{
		MaxAuthTries: 3,
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if conn.User() != "git" || subtle.ConstantTimeCompare(key.Marshal(), want) != 1 {
				return nil, errors.New("not the key of user git")
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(host)
	return config
}

func (s *gitServer) close() {
	_ = s.listener.Close()
	s.repositories.remove()
}

func (s *gitServer) serve(ctx context.Context) error {
	listener := netutil.LimitListener(s.listener, maxSSH)
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("serving git: %w", err)
		}
		open.Go(func() { s.connection(ctx, conn) })
	}
}

// connection serves one login: its channels one after the other, for a bounded time.
func (s *gitServer) connection(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(loginTime))
	login, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{}) // ctx bounds the rest
	var owned sync.WaitGroup
	defer owned.Wait()
	owned.Go(func() { ssh.DiscardRequests(requests) }) // every forwarding is refused
	owned.Go(func() {
		_ = login.Wait()
		cancel() // nobody is there any more for whom git would run
	})
	for channel := range channels {
		if channel.ChannelType() != "session" {
			_ = channel.Reject(ssh.Prohibited, "only sessions")
			continue
		}
		session, requests, err := channel.Accept()
		if err != nil {
			continue
		}
		if command, name, ok := s.wanted(requests); ok {
			owned.Go(func() { ssh.DiscardRequests(requests) })
			in, feed, err := os.Pipe()
			if err == nil {
				owned.Go(func() { pour(feed, session) })
				s.exec(ctx, command, name, in, session)
			}
		}
		_ = session.Close()
	}
}

// pour ends with the input, or when nobody reads it any longer.
func pour(to io.WriteCloser, from io.Reader) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

// wanted waits for the one request that is served and refuses the others: shells,
// terminals, variables, subsystems.
func (s *gitServer) wanted(requests <-chan *ssh.Request) (command, name string, ok bool) {
	for request := range requests {
		var exec struct{ Command string }
		if request.Type == "exec" && len(request.Payload) <= maxExecBytes && ssh.Unmarshal(request.Payload, &exec) == nil {
			command, name, ok = s.repositories.command(exec.Command)
		}
		_ = request.Reply(ok, nil)
		if ok {
			return command, name, true
		}
	}
	return "", "", false
}

// exec runs a command between the two ends of a session, and logs it.
func (s *gitServer) exec(ctx context.Context, command, name string, in *os.File, session ssh.Channel) {
	status := s.repositories.run(ctx, command, name, stream{in: in, out: session, problems: session.Stderr()})
	_ = in.Close()
	s.report.write(gitLine{
		Event: "git", Time: time.Now().UTC(), Repository: name, Command: command, Exit: status, Refs: s.repositories.refs(ctx, name),
	})
	_, _ = session.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}
