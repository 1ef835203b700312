package echo

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/echo/model"
)

// maxModelBody bounds a request of an agent: its whole conversation is in every one.
const maxModelBody = 8 << 20

// player is the name that plays a model.
type player struct {
	host   string
	script model.Script

	mu            sync.Mutex
	real, another int // requests, by their credential
}

func (u *upstream) addModel(m Model) error {
	host := strings.ToLower(m.Host)
	if u.certs[host] == nil {
		return errors.New("its host has no certificate")
	}
	if _, ok := u.credentials[m.Host]; !ok {
		return errors.New("its host has no credential")
	}
	if err := m.Script.Check(); err != nil {
		return err
	}
	u.model = &player{host: m.Host, script: m.Script}
	return nil
}

// modelLine is the log's line of one request to the model. It quotes nothing of the
// conversation.
type modelLine struct {
	Event      string    `json:"event"`
	Time       time.Time `json:"time"`
	ServerName string    `json:"server_name"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Credential string    `json:"credential"`
	API        string    `json:"api,omitempty"`
	Model      string    `json:"model,omitempty"`
	Step       string    `json:"step"`
	Status     int       `json:"status"`
	BodyBytes  int       `json:"body_bytes"`
}

func (u *upstream) play(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxModelBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("echo: the body did not come whole, or has more than %d bytes", maxModelBody), http.StatusRequestEntityTooLarge)
		return
	}
	credential := u.credentials.compare(u.model.host, r.Header)
	answer := u.model.script.Answer(model.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Body: body,
		Authorized: credential == credentialReal, Witness: u.model.count(credential),
	})
	u.report.write(modelLine{
		Event: "model", Time: time.Now().UTC(), ServerName: ascii(u.model.host), Method: ascii(r.Method), Path: ascii(r.URL.EscapedPath()),
		Credential: credential, API: answer.API, Model: ascii(answer.Model), Step: answer.Step, Status: answer.Status, BodyBytes: len(body),
	})
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Type", answer.ContentType)
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body)
}

// count keeps what the model has seen of credentials, and says it.
func (p *player) count(credential string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if credential == credentialReal {
		p.real++
	} else {
		p.another++
	}
	return fmt.Sprintf("credential: the real one in %d requests, another or none in %d", p.real, p.another)
}
