package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// machineOf is the VM tool as the launch of a bottle drives it, and the directories of this
// host that its guest may see.
//
// smolvm shows one directory of its installation to all machines, writable: what one guest
// changes there the next one boots. So each bottle gets a copy, beside its other files. Root
// gets none: smolvm runs the machines of root under other users, who cannot enter our
// directory, and cannot write to the original, which is root's.
func (a *App) machineOf(client *smolvm.Client, identity string) (launch.Machine, []string) {
	source := client.AgentRootfs()
	if source == "" || a.config.UID == 0 {
		return client, client.Tool().Shares(a.config.OS, false)
	}
	dir := filepath.Join(a.state.Dir(), identity, state.RootfsDir)
	return rooted{Client: client.WithRootfs(dir), source: source, dir: dir}, client.Tool().Shares(a.config.OS, true)
}

// sharesOf are the directories that the guest of a bottle that runs may see.
func (a *App) sharesOf(client *smolvm.Client, instance *state.Instance) []string {
	_, err := os.Lstat(filepath.Join(instance.Dir(), state.RootfsDir))
	return client.Tool().Shares(a.config.OS, err == nil)
}

// rooted is a VM tool whose machine has a root of its own.
type rooted struct {
	*smolvm.Client
	source, dir string
}

// Create implements [launch.Machine]. A new machine gets a new root.
func (r rooted) Create(ctx context.Context, o smolvm.CreateOptions) error {
	if err := copyRootfs(r.source, r.dir); err != nil {
		return err
	}
	return r.Client.Create(ctx, o)
}

// Start implements [launch.Machine].
func (r rooted) Start(ctx context.Context, name string) error {
	if _, err := os.Lstat(r.dir); errors.Is(err, fs.ErrNotExist) { // it was made by an older version
		if err := copyRootfs(r.source, r.dir); err != nil {
			return err
		}
	}
	return r.Client.Start(ctx, name)
}

// copyRootfs puts a copy in place of what is there.
func copyRootfs(source, dir string) error {
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("copying the machine's root: %w", err)
	}
	defer parent.Close()
	if err = state.RemoveTree(parent, filepath.Base(dir)); err == nil {
		err = os.CopyFS(dir, os.DirFS(source))
	}
	if err == nil {
		err = copyModes(source, dir)
	}
	if err != nil {
		return fmt.Errorf("copying the machine's root from %s: %w", source, err)
	}
	return nil
}

// copyModes does what [os.CopyFS] leaves out. Directories keep theirs: it must be possible
// to remove them.
func copyModes(source, dir string) error {
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(dir, name), info.Mode())
	})
}
