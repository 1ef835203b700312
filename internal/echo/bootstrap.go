package echo

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"bottle.internal/internal/echo/model"
	"bottle.internal/internal/secret"
)

const maxBootstrap = 64 << 10

// Bootstrap is the one JSON value that the program reads from stdin.
type Bootstrap struct {
	Listen      string // such as ":443"
	Certs       []Cert // the one that names the server is shown
	Credentials map[string]Credential
	Git         *Git   // nil without repositories
	Model       *Model // nil without one
}

// Model is the name that plays a model's API. It must have a credential.
type Model struct {
	Host   string       `json:"host"`
	Script model.Script `json:"script"`
}

// Cert is a certificate, PEM, and its key.
type Cert struct {
	Cert []byte
	Key  secret.Value
}

// Git is the ssh half.
type Git struct {
	Listen        string       // such as ":22"
	HostKey       secret.Value // PEM, as [NewKey] makes it
	AuthorizedKey string       // one line, the only one that may log in, as user git
	Repositories  []string     // such as "app.git"; each begins with one commit on main
}

// Stdin is what [Main] reads. The keys are in it in clear, so that they have no other
// place than the program's stdin; fmt and encoding/json keep them redacted.
func (b Bootstrap) Stdin() ([]byte, error) {
	wire := bootstrapWire{Listen: b.Listen, Credentials: b.Credentials, Certs: []certWire{}, Model: b.Model}
	for _, cert := range b.Certs {
		wire.Certs = append(wire.Certs, certWire{Cert: string(cert.Cert), Key: cert.Key.Reveal()})
	}
	if b.Git != nil {
		wire.Git = &gitWire{b.Git.Listen, b.Git.HostKey.Reveal(), b.Git.AuthorizedKey, b.Git.Repositories}
	}
	data, err := json.Marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("writing the bootstrap: %w", err)
	}
	return append(data, '\n'), nil
}

type bootstrapWire struct {
	Listen      string                `json:"listen"`
	Certs       []certWire            `json:"certs"`
	Credentials map[string]Credential `json:"credentials,omitempty"`
	Git         *gitWire              `json:"git,omitempty"`
	Model       *Model                `json:"model,omitempty"`
}

type certWire struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

type gitWire struct {
	Listen        string   `json:"listen"`
	HostKey       string   `json:"host_key"`
	AuthorizedKey string   `json:"authorized_key"`
	Repositories  []string `json:"repositories"`
}

func parseBootstrap(stdin io.Reader) (*upstream, bootstrapWire, error) {
	var boot bootstrapWire
	// One value, not the whole of stdin: the other end may stay open.
	decoder := json.NewDecoder(io.LimitReader(stdin, maxBootstrap))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&boot); err != nil {
		// What the decoder says could quote a key.
		return nil, boot, errors.New("reading the bootstrap: it is not one JSON value of listen, certs, credentials, git and model")
	}
	if boot.Listen == "" || len(boot.Certs) == 0 {
		return nil, boot, errors.New("reading the bootstrap: listen and certs are needed")
	}
	u := &upstream{certs: map[string]*tls.Certificate{}, credentials: credentials{}}
	for i, wire := range boot.Certs {
		if err := u.addCert(wire); err != nil {
			return nil, boot, fmt.Errorf("reading the bootstrap: certs[%d]: %w", i, err)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(boot.Credentials)) {
		if err := u.credentials.add(host, boot.Credentials[host]); err != nil {
			return nil, boot, fmt.Errorf("reading the bootstrap: credentials of %.64q: %w", host, err)
		}
	}
	if boot.Model != nil {
		if err := u.addModel(*boot.Model); err != nil {
			return nil, boot, fmt.Errorf("reading the bootstrap: model: %w", err)
		}
	}
	return u, boot, nil
}

func (u *upstream) addCert(wire certWire) error {
	pair, err := tls.X509KeyPair([]byte(wire.Cert), []byte(wire.Key))
	if err != nil {
		return errors.New("cert and key are no pair of PEM blocks")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	if len(leaf.DNSNames) == 0 {
		return errors.New("the certificate names no host")
	}
	for _, name := range leaf.DNSNames {
		u.certs[name] = &pair
	}
	return nil
}
