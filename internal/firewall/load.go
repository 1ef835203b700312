package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxConfig bounds a config file.
const maxConfig = 1 << 20

// Load reads a config directory and fails closed: what [Render] would not have written
// for the policy found there is an error of one line, whatever the difference.
func Load(dir fs.FS) (Policy, error) {
	config, err := loadPipelock(dir)
	if err != nil {
		return Policy{}, err
	}
	policy, err := loadRoutes(dir)
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

func loadPipelock(dir fs.FS) (pipelockConfig, error) {
	var config pipelockConfig
	data, err := readFile(dir, PipelockFile)
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

func loadRoutes(dir fs.FS) (Policy, error) {
	data, err := readFile(dir, RoutesFile)
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
	policy := Policy{Bottle: file.Bottle, Hosts: file.Routes}
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

func readFile(dir fs.FS, name string) ([]byte, error) {
	file, err := dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("reading %s: it is no regular file", name)
	case info.Size() > maxConfig:
		return nil, fmt.Errorf("reading %s: %d bytes, at most %d are allowed", name, info.Size(), maxConfig)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

// oneLine flattens a decoder's message, which may quote the file.
func oneLine(err error) string {
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	return printable(text, 200)
}
