package bundle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// DefaultContext is the context that stands for the engine's usual socket.
const DefaultContext = "default"

// ContextHost returns the host (such as unix:///run/docker.sock) of a Docker context, as
// the docker command finds it below config, normally ~/.docker. An empty name means the
// current one of config.json. The answer is "" for the default context.
func ContextHost(config fs.FS, name string) (string, error) {
	name = cmp.Or(name, currentContext(config), DefaultContext)
	if name == DefaultContext {
		return "", nil
	}
	id := sha256.Sum256([]byte(name))
	text, err := fs.ReadFile(config, "contexts/meta/"+hex.EncodeToString(id[:])+"/meta.json")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no Docker context %q", name)
	}
	if err != nil {
		return "", fmt.Errorf("reading the Docker context %q: %w", name, err)
	}
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return "", fmt.Errorf("reading the Docker context %q: %w", name, err)
	}
	host := meta.Endpoints["docker"].Host
	if host == "" {
		return "", fmt.Errorf("the Docker context %q names no engine", name)
	}
	return host, nil
}

// currentContext treats a config.json that is absent or not understood as silent: the
// docker command has the better words for that.
func currentContext(config fs.FS) string {
	text, err := fs.ReadFile(config, "config.json")
	if err != nil {
		return ""
	}
	var parsed struct {
		CurrentContext string `json:"currentContext"`
	}
	if json.Unmarshal(text, &parsed) != nil {
		return ""
	}
	return parsed.CurrentContext
}
