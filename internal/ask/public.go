package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"bottle.internal/internal/names"
)

// InputName is the name of the daemon's only input: a [Public] in JSON.
const InputName = "supervise.json"

const publicVersion = 1

// Public is what the agent may know of its bottle. It has no place for a credential.
type Public struct {
	Identity string   `json:"bottle"`
	Routes   []Route  `json:"routes"`
	Base     string   `json:"base"` // [Base] of Routes
	Remotes  []Remote `json:"remotes"`
	// TestNames may be asked for although they end in .test: the bottle's own upstreams.
	TestNames []string `json:"test_names"`
}

// Remote is a git remote and what may be pushed to it.
type Remote struct {
	Name     string   `json:"name"`
	Branches []string `json:"branches"` // patterns
	Approve  bool     `json:"approve"`  // every push waits for the operator
	Protect  []string `json:"protect"`  // paths whose change waits for the operator
}

type publicFile struct {
	Version int `json:"version"`
	Public
}

// Render is the daemon's input.
func (p Public) Render() ([]byte, error) {
	p.Base = Base(p.Routes)
	raw, err := json.MarshalIndent(publicFile{Version: publicVersion, Public: p}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", InputName, err)
	}
	return append(raw, '\n'), nil
}

// ParsePublic reads what Render wrote, and nothing else: a difference is an error.
func ParsePublic(raw []byte) (Public, error) {
	var file publicFile
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return Public{}, fmt.Errorf("reading %s: %w", InputName, err)
	}
	if file.Version != publicVersion {
		return Public{}, fmt.Errorf("reading %s: version %d, only %d is understood", InputName, file.Version, publicVersion)
	}
	if _, err := names.ParseIdentity(file.Identity); err != nil {
		return Public{}, fmt.Errorf("reading %s: %w", InputName, err)
	}
	if file.Base != Base(file.Routes) {
		return Public{}, fmt.Errorf("reading %s: base is not that of the routes", InputName)
	}
	again, err := file.Render()
	if err == nil && !bytes.Equal(again, raw) {
		err = errors.New("reading " + InputName + ": it is not in the form that bottle writes")
	}
	return file.Public, err
}
