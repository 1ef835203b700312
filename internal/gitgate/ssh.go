package gitgate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/ownsock"
	"bottle.internal/internal/printable"
)

// maxAgentMessage is the most that one message to or from the agent may have.
const maxAgentMessage = 64 << 10

// agentRequests bounds what one run of ssh may ask; it needs three.
const agentRequests = 16

// hostKeyAlgorithms are what ssh may accept for a key of a type.
func hostKeyAlgorithms(keyType string) (string, bool) {
	switch keyType {
	case "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		return keyType, true
	case "ssh-rsa":
		return "rsa-sha2-512,rsa-sha2-256", true
	}
	return "", false
}

// sshCommand is GIT_SSH_COMMAND: OpenSSH without a configuration, with one known host, no
// key files, and a proxy that reaches declared upstreams only. git hands it to a shell.
func (g *Gate) sshCommand(remote *remoteState) string {
	_, keyType, _ := strings.Cut(remote.spec.KnownHostKey, " ")
	keyType, _, _ = strings.Cut(keyType, " ")
	algorithms, _ := hostKeyAlgorithms(keyType)
	words := []string{g.options.SSH, "-F", "/dev/null"}
	for _, option := range []string{
		"StrictHostKeyChecking=yes", "UserKnownHostsFile=" + remote.knownHosts, "GlobalKnownHostsFile=/dev/null",
		"KnownHostsCommand=none", "VerifyHostKeyDNS=no", "CheckHostIP=no", "UpdateHostKeys=no", "HostKeyAlgorithms=" + algorithms,
		"BatchMode=yes", "IdentityFile=none", "IdentitiesOnly=no", "PreferredAuthentications=publickey",
		"PubkeyAuthentication=yes", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "HostbasedAuthentication=no",
		"GSSAPIAuthentication=no", "NumberOfPasswordPrompts=0", "ConnectTimeout=4", "ConnectionAttempts=1",
		"ServerAliveInterval=10", "ServerAliveCountMax=3", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no",
		"ControlMaster=no", "ControlPath=none", "PermitLocalCommand=no", "Tunnel=no", "RequestTTY=no", "EscapeChar=none",
		"CanonicalizeHostname=no", "Compression=no", "LogLevel=ERROR",
		"ProxyCommand=" + strings.Join(g.options.DialCommand, " ") + " " + g.targetsFile() + " %h %p",
	} {
		words = append(words, "-o", option)
	}
	for i, word := range words {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// writeTargets tells the proxy of ssh what is declared.
func (g *Gate) writeTargets(config Config) error {
	targets := []Target{}
	for _, remote := range config.Remotes {
		opened, err := remote.opened()
		if err != nil {
			return err
		}
		targets = append(targets, Target{Host: remote.Host, Port: uint16(remote.Port), Opened: opened})
	}
	data, err := json.Marshal(targets)
	if err != nil {
		return fmt.Errorf("writing the declared upstreams: %w", err)
	}
	return replaceFile(g.targetsFile(), data)
}

func replaceFile(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}

func randomName() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// overSSH runs git with a way to the upstream: its ssh has an agent that relays to the host.
func (g *Gate) overSSH(ctx context.Context, remote *remoteState, run gitRun) error {
	relay, err := g.startRelay(ctx, remote.spec.Name)
	if err != nil {
		return err
	}
	defer relay.close()
	run.env = append(run.env, "GIT_SSH_COMMAND="+g.sshCommand(remote), "SSH_AUTH_SOCK="+relay.path)
	return g.git(ctx, run)
}

// relay is the socket of one run of ssh. Each connection is a session of its own: the host
// signs only for what the same session bound.
type relay struct {
	path     string
	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func (g *Gate) startRelay(ctx context.Context, remote string) (*relay, error) {
	path := filepath.Join(g.options.RunDir, "a-"+randomName())
	listener, err := ownsock.Listen(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening the agent's socket: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &relay{path: path, listener: listener, cancel: cancel}
	r.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { g.relayAgent(ctx, conn, remote) })
		}
	})
	return r, nil
}

// close ends the socket and every session.
func (r *relay) close() {
	r.cancel()
	_ = r.listener.Close() // removes the socket too
	r.running.Wait()
}

// agentQuestion is what the host is asked; its answer has the same message field.
type agentQuestion struct {
	Remote  string `json:"remote"`
	Session string `json:"session"`
	Message string `json:"message"` // base64
}

type agentAnswer struct {
	Message string `json:"message"` // base64
}

func (g *Gate) relayAgent(ctx context.Context, conn net.Conn, remote string) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	session := randomName()
	for range agentRequests {
		message, err := readAgentMessage(conn)
		if err != nil {
			return
		}
		reply, err := g.askAgent(ctx, agentQuestion{remote, session, base64.StdEncoding.EncodeToString(message)})
		if err != nil {
			g.journal.Write(line{Event: eventRefresh, Remote: remote, Problem: printable.ASCII("the host did not sign: "+err.Error(), 300)})
			reply = []byte{5} // SSH_AGENT_FAILURE
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func (g *Gate) askAgent(ctx context.Context, question agentQuestion) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var answer agentAnswer
	if err := g.options.Channel.Ask(ctx, "ssh-agent", question, &answer); err != nil {
		return nil, err
	}
	reply, err := base64.StdEncoding.DecodeString(answer.Message)
	if err != nil || len(reply) == 0 || len(reply) > maxAgentMessage {
		return nil, errors.New("its answer is no message of an agent")
	}
	return reply, nil
}

func readAgentMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > maxAgentMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := make([]byte, size)
	_, err := io.ReadFull(r, message)
	return message, err
}
