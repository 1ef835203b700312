package smolvm

import (
	"os"
	"path/filepath"
	"slices"
)

// RootfsVariable names the directory that a machine of smolvm has as its root.
const RootfsVariable = "SMOLVM_AGENT_ROOTFS"

// AgentRootfs is the directory of this host that smolvm shows, writable, to every machine
// of its installation as their root; "" where there is none.
func (c *Client) AgentRootfs() string {
	tool, env := c.config.Tool, c.config.Env
	if tool.Name != NameSmolvm {
		return ""
	}
	candidates := []string{variable(env, RootfsVariable)}
	if launcher, err := filepath.EvalSymlinks(tool.Path); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(launcher), "agent-rootfs"))
	}
	if data := variable(env, "XDG_DATA_HOME"); filepath.IsAbs(data) {
		candidates = append(candidates, filepath.Join(data, "smolvm", "agent-rootfs"))
	}
	candidates = append(candidates, filepath.Join(variable(env, "HOME"), ".local/share/smolvm/agent-rootfs"))
	for _, dir := range candidates {
		// A link to a program of the guest: it leads nowhere here.
		if _, err := os.Lstat(filepath.Join(dir, "sbin", "init")); err == nil && filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}

// WithRootfs is a client whose machines have another directory as their root.
func (c *Client) WithRootfs(dir string) *Client {
	other := *c
	other.config.Env = append(slices.Clone(c.config.Env), RootfsVariable+"="+dir)
	return &other
}

// Shares are the directories of this host that the tool shows to each of its machines, as
// TAG=ro or TAG=rw. A root of a machine's own may take writes. So may the layers of the
// image on macOS, where each machine has its own; on Linux, where machines share them,
// landlock keeps the tool's process from writing.
func (t Tool) Shares(goos string, ownRoot bool) []string {
	if t.Name != NameSmolvm {
		return nil
	}
	root, layers := "/dev/root=ro", "smolvm_layers=ro"
	if ownRoot {
		root = "/dev/root=rw"
	}
	if goos == "darwin" {
		layers = "smolvm_layers=rw"
	}
	return []string{root, layers}
}
