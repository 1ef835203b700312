package app

import (
	"context"
	"path/filepath"

	"bottle.internal/internal/digest"
	"bottle.internal/pkg/smolvm"
)

// digests names what a machine that was started runs on: the VM tool and, as far as it says,
// emulator, kernel and initramfs.
func (a *App) digests(ctx context.Context, client *smolvm.Client, machine string) []digest.Sum {
	components, err := client.Components(ctx, machine)
	if err != nil {
		return []digest.Sum{{Name: client.Tool().Name, Problem: err.Error()}}
	}
	files := make([]digest.File, 0, len(components))
	for _, component := range components {
		files = append(files, digest.File(component))
	}
	return digest.Of(ctx, files, filepath.Join(a.dirs.cache, "digests.json"))
}

// changedTools are those that are not what a bottle was started with. Files may change under
// a machine that runs: it keeps the old ones until it is started again.
func changedTools(started map[string]string, now []digest.Sum) []string {
	var changed []string
	for _, sum := range now {
		if was, ok := started[sum.Name]; ok && was != digest.Map([]digest.Sum{sum})[sum.Name] {
			changed = append(changed, sum.Name)
		}
	}
	return changed
}
