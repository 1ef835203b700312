package bundle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"
)

// Resource is something of ours that the engine has.
type Resource struct {
	Kind     Kind
	ID       string
	Name     string
	Identity string
	Running  bool // containers only
}

// List returns what owner has in the engine, containers before networks and volumes. Things without
// our labels, or whose labels and name do not agree, are not ours and not listed.
func List(ctx context.Context, engine Engine, owner string) ([]Resource, error) {
	if !ownerPattern.MatchString(owner) {
		return nil, fmt.Errorf("listing bundles: owner %.80q: 1 to 64 letters, digits, dots, dashes", owner)
	}
	return list(ctx, engine, filter{label: LabelOwner, value: owner, owner: owner})
}

// Remove removes everything that owner has under identity, which may be nothing. It is
// for what a killed process left behind; a [Bundle] in hand is closed.
func Remove(ctx context.Context, engine Engine, owner, identity string) error {
	if !identityPattern.MatchString(identity) {
		return fmt.Errorf("removing a bundle: identity %.50q: it looks like demo-x7k2p", identity)
	}
	found, err := List(ctx, engine, owner)
	if err != nil {
		return err
	}
	var mine []Resource
	for _, resource := range found {
		if resource.Identity == identity {
			mine = append(mine, resource)
		}
	}
	if err := removeAll(ctx, engine, mine); err != nil {
		return fmt.Errorf("removing bundle %s: %w", identity, err)
	}
	return nil
}

func removeAll(ctx context.Context, engine Engine, resources []Resource) error {
	var problems []error
	for _, resource := range resources {
		switch resource.Kind {
		case KindNetwork:
			problems = append(problems, removeNetwork(ctx, engine, resource.ID))
		case KindVolume:
			problems = append(problems, removeVolume(ctx, engine, resource.ID))
		default:
			problems = append(problems, removeContainer(ctx, engine, resource.ID))
		}
	}
	return errors.Join(problems...)
}

// filter is a label that the engine looks for, and the owner that must be there besides.
type filter struct{ label, value, owner string }

func list(ctx context.Context, engine Engine, by filter) ([]Resource, error) {
	terms := make(client.Filters).Add("label", by.label+"="+by.value)
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: terms})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", explain(err))
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: terms})
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", explain(err))
	}
	volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: terms})
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", explain(err))
	}
	var found []Resource
	for _, item := range containers.Items {
		for _, name := range item.Names {
			resource, ok := parse(item.Labels, by, strings.TrimPrefix(name, "/"))
			if ok && (resource.Kind == KindBundle || resource.Kind == KindEcho) {
				resource.ID, resource.Running = item.ID, item.State == "running"
				found = append(found, resource)
				break
			}
		}
	}
	for _, item := range networks.Items {
		if resource, ok := parse(item.Labels, by, item.Name); ok && resource.Kind == KindNetwork {
			resource.ID = item.ID
			found = append(found, resource)
		}
	}
	for _, item := range volumes.Items {
		if resource, ok := parse(item.Labels, by, item.Name); ok && resource.Kind == KindVolume {
			resource.ID = item.Name
			found = append(found, resource)
		}
	}
	return found, nil
}

// parse believes neither the engine's filter nor the labels alone: the name must be the
// one that we would have given.
func parse(labels map[string]string, by filter, name string) (Resource, bool) {
	kind, identity := Kind(labels[LabelKind]), labels[LabelIdentity]
	switch {
	case labels[by.label] != by.value, labels[LabelOwner] != by.owner,
		!identityPattern.MatchString(identity),
		kind != KindBundle && kind != KindNetwork && kind != KindEcho && kind != KindVolume,
		name != kind.Name(identity):
		return Resource{}, false
	}
	return Resource{Kind: kind, Name: name, Identity: identity}, true
}
