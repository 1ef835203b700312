package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"syscall"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/token"
)

// maxKeyFile bounds ssh keys and certificate files.
const maxKeyFile = 256 << 10

// secrets reads what the daemons of a plan need of this host: keys and certificates now,
// tokens when they are asked for.
func (a *App) secrets(p plan.Plan) (launch.Secrets, error) {
	secrets := launch.Secrets{
		Remotes: map[string]overseer.Identity{}, UpstreamCAs: map[string][]byte{},
	}
	var err error
	if secrets.UpstreamProxy, secrets.UpstreamProxyAuth, err = upstreamProxy(a.config.getenv("EGRESS_UPSTREAM_PROXY")); err != nil {
		return launch.Secrets{}, err
	}
	if p.Firewall.Engine == enginePipelock {
		files, err := a.supplied()
		if err != nil {
			return launch.Secrets{}, err
		}
		secrets.PipelockSHA256 = files[enginePipelock].SHA256
	}
	specs := map[int]token.Spec{}
	for i, route := range p.Egress {
		if route.Auth != nil {
			specs[i] = a.tokenSpec(*route.Auth)
		}
		if route.UpstreamCA == "" {
			continue
		}
		pem, err := readSmall(a.hostPath(route.UpstreamCA))
		if err != nil {
			return launch.Secrets{}, fmt.Errorf("reading the upstream_ca of %s: %w", route.Host, err)
		}
		secrets.UpstreamCAs[route.UpstreamCA] = pem
	}
	for _, remote := range p.Git.Remotes {
		if remote.Echo {
			continue // launch makes its keys
		}
		key, err := readSmall(a.hostPath(remote.IdentityFile))
		if err != nil {
			return launch.Secrets{}, fmt.Errorf("reading the key of the remote %s: %w", remote.Name, err)
		}
		secrets.Remotes[remote.Name] = overseer.Identity{Key: secret.New(string(key)), KnownHostKey: remote.KnownHostKey}
	}
	secrets.Tokens, err = token.New(specs, token.Options{Environ: a.config.Environ})
	return secrets, err
}

// upstreamProxy takes the credential, which is a secret, out of a proxy's URL.
func upstreamProxy(text string) (address string, auth secret.Value, err error) {
	if text == "" {
		return "", secret.Value{}, nil
	}
	proxy, err := url.Parse(text)
	if err != nil || proxy.Scheme != "http" || proxy.Port() == "" || proxy.Path != "" && proxy.Path != "/" {
		// The parser's own words would quote a password.
		return "", secret.Value{}, &Problem{
			Text: "EGRESS_UPSTREAM_PROXY is no proxy of the form http://HOST:PORT", Hints: []string{"export EGRESS_UPSTREAM_PROXY=http://proxy.example.com:3128", "unset EGRESS_UPSTREAM_PROXY"},
		}
	}
	if password, ok := proxy.User.Password(); ok {
		auth = secret.New(proxy.User.Username() + ":" + password)
	}
	return "http://" + proxy.Host, auth, nil
}

func (a *App) tokenSpec(auth plan.Auth) token.Spec {
	spec := token.Spec{Source: auth.Source, Name: auth.Name, Cmd: auth.Cmd}
	if auth.Source == "file" {
		spec.Name = a.hostPath(auth.Name)
	}
	return spec
}

func readSmall(path string) ([]byte, error) {
	file, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s has more than %d KiB", path, maxKeyFile>>10)
	}
	return data, err
}

// openRegular opens a file that the operator named. A pipe without a writer must not hang us.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}
