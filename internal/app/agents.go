package app

import (
	"maps"
	"slices"
)

// Agents names the agents of the manifests, sorted.
func (a *App) Agents() ([]string, error) {
	set, err := a.manifest()
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(set.Agents)), nil
}
