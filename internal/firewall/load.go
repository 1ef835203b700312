package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"bottle.internal/internal/control"
	"bottle.internal/internal/printable"
)

// maxConfig bounds one input.
const maxConfig = control.MaxInputs

// Load reads the inputs and fails closed: what [Render] would not have written for the
// policy found there is an error of one line, whatever the difference.
func Load(inputs control.Inputs) (Policy, error) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if name != PipelockFile && name != RoutesFile {
			return Policy{}, fmt.Errorf("reading the inputs: %.40q is not known", name)
		}
	}
	config, err := loadPipelock(inputs)
	if err != nil {
		return Policy{}, err
	}
	policy, err := loadRoutes(inputs)
	if err != nil {
		return Policy{}, err
	}
	if want := policy.allowlist(); !slices.Equal(want, config.APIAllowlist) {
		return Policy{}, fmt.Errorf("%s and %s disagree: the allowlist is %q, the routes need %q",
			PipelockFile, RoutesFile, config.APIAllowlist, want)
	}
	if err := compare(config, expectedPipelock(policy)); err != nil {
		return Policy{}, err
	}
	return policy, nil
}

func loadPipelock(inputs control.Inputs) (pipelockConfig, error) {
	var config pipelockConfig
	data, err := read(inputs, PipelockFile)
	if err != nil {
		return config, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("reading %s: %s", PipelockFile, oneLine(err))
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return config, fmt.Errorf("reading %s: a second YAML document", PipelockFile)
	}
	switch {
	case config.Mode != "strict":
		return config, fmt.Errorf("reading %s: mode is %q, only strict is understood", PipelockFile, config.Mode)
	case len(config.APIAllowlist) == 0:
		return config, fmt.Errorf("reading %s: api_allowlist is empty, nothing allowed is written as %q", PipelockFile, nothingAllowed)
	}
	return config, nil
}

func loadRoutes(inputs control.Inputs) (Policy, error) {
	data, err := read(inputs, RoutesFile)
	if err != nil {
		return Policy{}, err
	}
	var file routesFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return Policy{}, fmt.Errorf("reading %s: %s", RoutesFile, oneLine(err))
	}
	if file.Version != routesVersion {
		return Policy{}, fmt.Errorf("reading %s: version %d, only %d is understood", RoutesFile, file.Version, routesVersion)
	}
	policy := Policy{Bottle: file.Bottle, Hosts: file.Routes, Canaries: file.Canaries}
	if err := policy.Validate(); err != nil {
		return Policy{}, fmt.Errorf("reading %s: %w", RoutesFile, err)
	}
	want, err := marshalRoutes(policy.sorted())
	if err != nil {
		return Policy{}, err
	}
	// Doubled keys, other spellings of keys, trailing data: all of them differ here.
	if !bytes.Equal(data, want) {
		return Policy{}, fmt.Errorf("reading %s: it is not in the form that bottle writes", RoutesFile)
	}
	return policy, nil
}

// compare finds the first key in which the file differs from what its policy needs.
func compare(got, want pipelockConfig) error {
	gotText, err := marshalPipelock(got)
	if err != nil {
		return err
	}
	wantText, err := marshalPipelock(want)
	if err != nil {
		return err
	}
	gotLines, wantLines := strings.Split(string(gotText), "\n"), strings.Split(string(wantText), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			return fmt.Errorf("reading %s: %q where these routes need %q", PipelockFile,
				strings.TrimSpace(gotLines[i]), strings.TrimSpace(wantLines[i]))
		}
	}
	if len(gotLines) != len(wantLines) {
		return fmt.Errorf("reading %s: %d values where these routes need %d", PipelockFile, len(gotLines), len(wantLines))
	}
	return nil
}

// read takes one input. Where it is empty or missing there is nothing to fall back on.
func read(inputs control.Inputs, name string) ([]byte, error) {
	value, ok := inputs[name]
	switch data := value.Reveal(); {
	case !ok:
		return nil, fmt.Errorf("reading %s: there is no such input", name)
	case len(data) > maxConfig:
		return nil, fmt.Errorf("reading %s: %d bytes, at most %d are allowed", name, len(data), maxConfig)
	default:
		return []byte(data), nil
	}
}

// oneLine flattens a decoder's message, which may quote the file.
func oneLine(err error) string {
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	return printable.ASCII(text, 200)
}
