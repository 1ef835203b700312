//go:build integration

package rig

import (
	"context"
	"strconv"
	"strings"

	"github.com/moby/moby/client"

	"bottle.internal/pkg/bundle"
)

// Daemons are the pids on the engine's host of init and the daemons of a bundle.
func Daemons(ctx context.Context, engine *client.Client, container string) (map[string]int, error) {
	top, err := engine.ContainerTop(ctx, container, client.ContainerTopOptions{Arguments: []string{"-o", "pid,args"}})
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, row := range top.Processes {
		words := strings.Fields(strings.Join(row, " "))
		if len(words) == 3 && words[1] == bundle.Program {
			found[words[2]], _ = strconv.Atoi(words[0])
		}
	}
	return found, nil
}
