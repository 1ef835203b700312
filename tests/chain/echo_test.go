//go:build integration

package chain

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
)

// echo makes the keys of the echo upstream.
func (b *bottle) echo() (echoCA []byte, boot echo.Bootstrap, remotes map[string]overseer.Identity, err error) {
	fail := func(err error) ([]byte, echo.Bootstrap, map[string]overseer.Identity, error) {
		return nil, boot, nil, err
	}
	authority := fakenet.Authority(b.t)
	boot = echo.Bootstrap{Listen: ":443", Credentials: map[string]echo.Credential{}}
	for _, name := range b.plan.Echo {
		leaf, err := authority.Leaf(name)
		if err != nil {
			return fail(err)
		}
		boot.Certs = append(boot.Certs, echo.Cert{Cert: leaf.CertPEM, Key: leaf.KeyPEM})
	}
	hostKey, hostLine, err := newSSHKey()
	if err != nil {
		return fail(err)
	}
	userKey, userLine, err := newSSHKey()
	if err != nil {
		return fail(err)
	}
	b.sshKey = userKey
	boot.Git = &echo.Git{Listen: ":22", HostKey: hostKey, AuthorizedKey: userLine, Repositories: []string{"app.git"}}
	remotes = map[string]overseer.Identity{"app": {Key: userKey, KnownHostKey: "git.bottle.test " + hostLine}}
	return authority.CertPEM(), boot, remotes, nil
}

func newSSHKey() (private secret.Value, public string, err error) {
	publicKey, privateKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return secret.Value{}, "", err
	}
	block, err := ssh.MarshalPrivateKey(privateKey, "")
	if err != nil {
		return secret.Value{}, "", err
	}
	line, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		return secret.Value{}, "", err
	}
	return secret.New(string(pem.EncodeToMemory(block))), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))), nil
}

// echoBootstrap adds how the echo recognizes the credentials.
func (b *bottle) echoBootstrap(boot echo.Bootstrap) ([]byte, error) {
	for _, route := range b.plan.Egress {
		if route.Auth == nil || !strings.HasPrefix(route.Host, "a") {
			continue
		}
		value, ok := b.overseer.Credential(route)
		if !ok {
			value = secret.New("Bearer there-is-none")
		}
		boot.Credentials[route.Host] = echo.Expect(route.Auth.Header, value)
	}
	return boot.Stdin()
}
