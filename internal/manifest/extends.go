package manifest

import (
	"maps"
	"slices"
	"strings"
)

// resolve merges every bottle with the one that it extends: variables, resources and
// git.user per key, everything else is replaced when it is written. allow_cwd_agents is
// not inherited: it would open the child's own credentials too.
func resolve(raw map[string]*rawBottle) map[string]Bottle {
	bottles := map[string]Bottle{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		chain, ok := chainOf(raw, name)
		if !ok {
			continue
		}
		merged := chain[len(chain)-1].Bottle
		for i := len(chain) - 2; i >= 0; i-- {
			merged = merge(merged, chain[i])
		}
		checkBottle(raw[name], merged)
		bottles[name] = merged
	}
	return bottles
}

// chainOf lists a bottle and its ancestors, the bottle first.
func chainOf(raw map[string]*rawBottle, name string) ([]*rawBottle, bool) {
	chain := []*rawBottle{raw[name]}
	path := []string{name}
	for chain[len(chain)-1].extends != "" {
		last := chain[len(chain)-1]
		next, found := raw[last.extends]
		path = append(path, last.extends)
		switch {
		case !found:
			// The bottle that names it says so; its children need not repeat it.
			if len(chain) == 1 {
				last.extendAt.bad("there is no bottle %q%s", last.extends, suggest(last.extends, slices.Sorted(maps.Keys(raw)), "bottles"))
			}
			return nil, false
		case last.extends == name:
			chain[0].extendAt.bad("goes round in a circle: %s", strings.Join(path, " -> "))
			return nil, false
		case slices.Contains(chain, next):
			return nil, false // a circle further up, reported there
		}
		chain = append(chain, next)
	}
	return chain, !slices.ContainsFunc(chain, func(b *rawBottle) bool { return b.broken })
}

func merge(base Bottle, child *rawBottle) Bottle {
	merged := child.Bottle
	merged.Env = maps.Clone(base.Env)
	if merged.Env == nil {
		merged.Env = map[string]EnvValue{}
	}
	maps.Copy(merged.Env, child.Env)
	if merged.Resources.CPUs == 0 {
		merged.Resources.CPUs = base.Resources.CPUs
	}
	if merged.Resources.MemoryMiB == 0 {
		merged.Resources.MemoryMiB = base.Resources.MemoryMiB
	}
	if merged.Resources.DiskGiB == 0 {
		merged.Resources.DiskGiB = base.Resources.DiskGiB
	}
	if !child.declared["supervise"] {
		merged.Supervise = base.Supervise
	}
	if !child.declared["on_canary"] {
		merged.OnCanary = base.OnCanary
	}
	if !child.declared["echo"] {
		merged.Echo = base.Echo
	}
	if !child.declared["model"] {
		merged.Model = base.Model
	}
	if !child.declared["egress.routes"] {
		merged.Routes = base.Routes
		if len(base.Routes) > 0 {
			merged.routesIn = base.routesIn
		}
	}
	if !child.declared["git.remotes"] {
		merged.Remotes = base.Remotes
		if len(base.Remotes) > 0 {
			merged.remotesIn = base.remotesIn
		}
	}
	merged.written = maps.Clone(base.written)
	maps.Copy(merged.written, child.written)
	merged.GitUser = mergeUser(base.GitUser, child.GitUser)
	return merged
}

func mergeUser(base, child *GitUser) *GitUser {
	if base == nil || child == nil {
		if child == nil {
			return base
		}
		return child
	}
	merged := *child
	if merged.Name == "" {
		merged.Name = base.Name
	}
	if merged.Email == "" {
		merged.Email = base.Email
	}
	return &merged
}
