//go:build integration

package rig

import (
	"context"
	"errors"

	"github.com/moby/moby/client"
)

// Item is something in the engine.
type Item struct {
	Kind   string // container, network or volume
	ID     string
	Labels map[string]string
}

func (i Item) String() string { return i.Kind + " " + i.ID }

// Labelled lists what has a label, NAME or NAME=VALUE, in the order in which it can be removed.
func Labelled(ctx context.Context, engine *client.Client, label string) ([]Item, error) {
	terms := make(client.Filters).Add("label", label)
	var found []Item
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: terms})
	if err != nil {
		return nil, err
	}
	for _, item := range containers.Items {
		found = append(found, Item{"container", item.ID, item.Labels})
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: terms})
	if err != nil {
		return nil, err
	}
	for _, item := range networks.Items {
		found = append(found, Item{"network", item.ID, item.Labels})
	}
	volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: terms})
	if err != nil {
		return nil, err
	}
	for _, item := range volumes.Items {
		found = append(found, Item{"volume", item.Name, item.Labels})
	}
	return found, nil
}

// RemoveLabelled removes what Labelled finds.
func RemoveLabelled(ctx context.Context, engine *client.Client, label string) error {
	found, err := Labelled(ctx, engine, label)
	if err != nil {
		return err
	}
	return remove(ctx, engine, found)
}

func remove(ctx context.Context, engine *client.Client, items []Item) error {
	var problems []error
	for _, item := range items {
		var err error
		switch item.Kind {
		case "container":
			_, err = engine.ContainerRemove(ctx, item.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		case "network":
			_, err = engine.NetworkRemove(ctx, item.ID, client.NetworkRemoveOptions{})
		case "volume":
			_, err = engine.VolumeRemove(ctx, item.ID, client.VolumeRemoveOptions{Force: true})
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
