package smolvm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

func dataDirArgs(tool Tool, name string) (invocation, error) {
	if tool.Version.positionalName() {
		return invocation{args: []string{"machine", "data-dir", name}}, checkName(name)
	}
	return invocation{args: []string{"machine", "data-dir", "--name", name}}, checkName(name)
}

// DataDir is where the tool keeps a machine's disks. What is in there was written by a
// guest: it may be read as bytes, and never be mounted or parsed on this host.
func (c *Client) DataDir(ctx context.Context, name string) (string, error) {
	call, err := dataDirArgs(c.config.Tool, name)
	if err != nil {
		return "", err
	}
	data, err := c.answer(ctx, call)
	dir := strings.TrimSpace(string(data))
	if err == nil && !filepath.IsAbs(dir) {
		err = fmt.Errorf("%s answered %.40q", c.config.Tool.Name, dir)
	}
	if err != nil {
		return "", fmt.Errorf("asking for the directory of machine %s: %w", name, err)
	}
	return dir, nil
}
