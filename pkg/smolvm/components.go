package smolvm

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Component is a file that a machine runs on.
type Component struct{ Name, Path string }

// Components lists what a machine that was started runs on: the tool itself, what the tool
// says of this machine, and what smolvm installs beside itself. The tool says where things
// are, and nothing else: who wants to know what they are reads them.
func (c *Client) Components(ctx context.Context, name string) ([]Component, error) {
	machine, err := c.status(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking what machine %s runs on: %w", name, err)
	}
	return components(c.config.Tool, variable(c.config.Env, "SMOLVM_LIB_DIR"), machine), nil
}

func components(tool Tool, libDir string, machine Machine) []Component {
	list := []Component{{tool.Name, tool.Path}}
	for _, name := range slices.Sorted(maps.Keys(machine.Components)) {
		if path := machine.Components[name]; filepath.IsAbs(path) {
			list = append(list, Component{name, path})
		}
	}
	if tool.Name != NameSmolvm {
		return list
	}
	// The launcher may be a link into the installation.
	launcher, err := filepath.EvalSymlinks(tool.Path)
	if err != nil {
		return list
	}
	dir := filepath.Dir(launcher)
	if libDir == "" {
		libDir = filepath.Join(dir, "lib")
	}
	return append(list, installed(filepath.Join(dir, "smolvm-bin"), filepath.Join(libDir, "libkrun*"))...)
}

// installed finds files by patterns, each once, however many links lead there.
func installed(patterns ...string) []Component {
	var list []Component
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			target, err := filepath.EvalSymlinks(path)
			if err != nil || slices.ContainsFunc(list, func(c Component) bool { return c.Path == target }) {
				continue
			}
			name, _, _ := strings.Cut(filepath.Base(target), ".") // versions come and go: the name stays
			list = append(list, Component{name, target})
		}
	}
	return list
}
