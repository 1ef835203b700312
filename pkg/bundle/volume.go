package bundle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/client"
)

// volumeWanted reports whether a daemon of this bundle keeps something on the disk.
func (s Spec) volumeWanted() bool {
	for _, user := range s.Users {
		if user.Volume != "" {
			return true
		}
	}
	return false
}

// checkVolume refuses a volume of an earlier run: the engine would mount it in silence,
// with what that run left in it. The container's creation makes a new one.
func (b *Bundle) checkVolume(ctx context.Context) error {
	if !b.spec.volumeWanted() {
		return nil
	}
	name := KindVolume.Name(b.spec.Identity)
	list, err := b.engine.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("name", name)})
	if err != nil {
		return fmt.Errorf("looking for volume %s: %w", name, explain(err))
	}
	for _, item := range list.Items {
		if item.Name == name {
			return fmt.Errorf("creating volume %s: %w", name, ErrLeftover)
		}
	}
	b.volume = name
	return nil
}

// removeVolume tries again while the engine still takes the container off it.
func removeVolume(ctx context.Context, engine Engine, name string) error {
	if name == "" {
		return nil
	}
	for try := 1; ; try++ {
		_, err := engine.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
		if isGone(err) {
			return nil
		}
		err = fmt.Errorf("removing volume %s: %w", name, explain(err))
		if try == networkTries {
			return err
		}
		select {
		case <-time.After(networkPause):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
