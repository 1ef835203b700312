package bundle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

const (
	// closeLimit bounds a whole teardown, which shares 5 s with the VM's.
	closeLimit = 4 * time.Second
	// stopLimit is when a stop that the engine does not finish is given up for a kill.
	stopLimit = stopSeconds*time.Second + 500*time.Millisecond

	removalPause = 100 * time.Millisecond

	networkTries = 5
	networkPause = 100 * time.Millisecond
)

// Close stops and removes the containers and the network within 4 s, even when ctx has
// ended. It may be called again after a failure, and does nothing after a success.
func (b *Bundle) Close(ctx context.Context) error {
	b.closing.Lock()
	defer b.closing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()

	b.stopContainers(ctx)
	// A network that no running container is on can go while the stopped ones do. If one
	// did not stop, the network stays until it is gone.
	var bundleErr, echoErr, networkErr error
	var all sync.WaitGroup
	all.Go(func() { bundleErr = removeContainer(ctx, b.engine, b.containerID) })
	all.Go(func() { echoErr = removeContainer(ctx, b.engine, b.echoID) })
	all.Go(func() { networkErr = removeNetwork(ctx, b.engine, b.networkID) })
	all.Wait()
	for _, streams := range []*attachment{b.streams, b.echo} {
		if streams != nil {
			streams.close()
		}
	}
	b.drained.Wait()
	b.setStreams(b.streams, "")

	err := errors.Join(bundleErr, echoErr)
	if err == nil {
		err = errors.Join(networkErr, removeVolume(ctx, b.engine, b.volume))
	}
	if err != nil {
		return fmt.Errorf("closing bundle %s: %w", b.spec.Identity, err)
	}
	b.containerID, b.echoID, b.networkID, b.volume = "", "", "", ""
	return nil
}

// abandon undoes a failed start. A call that failed may have been carried out all the
// same, so what this run made is also looked for by its label.
func (b *Bundle) abandon(ctx context.Context) error {
	err := b.Close(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	found, listErr := list(ctx, b.engine, filter{label: labelRun, value: b.run, owner: b.spec.Owner})
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	// What is found decides: Close may have failed on something that is gone by now.
	return removeAll(ctx, b.engine, found)
}

// stopContainers gives the daemons time to end. Who does not is killed by the removal.
func (b *Bundle) stopContainers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	grace := stopSeconds
	var both sync.WaitGroup
	for _, id := range []string{b.containerID, b.echoID} {
		if id != "" {
			both.Go(func() { _, _ = b.engine.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &grace}) })
		}
	}
	both.Wait()
}

func removeContainer(ctx context.Context, engine Engine, id string) error {
	if id == "" {
		return nil
	}
	for {
		// Whether it stopped or not: force kills it first.
		_, err := engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if isGone(err) {
			return nil
		}
		err = fmt.Errorf("removing container %.12s: %w", id, explain(err))
		if !isUnderWay(err) {
			return err
		}
		// A removal that nobody waited for: an earlier one that ran out of time.
		select {
		case <-time.After(removalPause):
		case <-ctx.Done():
			return err
		}
	}
}

func isUnderWay(err error) bool {
	return errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress")
}

// removeNetwork tries again while the engine still takes the last container off it.
func removeNetwork(ctx context.Context, engine Engine, id string) error {
	if id == "" {
		return nil
	}
	for try := 1; ; try++ {
		_, err := engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		if isGone(err) {
			return nil
		}
		err = fmt.Errorf("removing network %.12s: %w", id, explain(err))
		if try == networkTries {
			return err
		}
		select {
		case <-time.After(networkPause):
		case <-ctx.Done():
			return err
		}
	}
}
