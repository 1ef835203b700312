package manifest

import "fmt"

// String is the file and the line, as in messages.
func (p place) String() string {
	if p.src == nil || p.line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.src.name, p.line)
}

// At is the file and the line where the agent was written.
func (a Agent) At() string { return a.at.String() }

// At is the file and the line where a key of the bottle was written, here or in a bottle
// that it extends: "supervise", "env.NAME", "resources.cpus", "git.user"; "" is the bottle's
// own head. It is empty for what nobody wrote.
func (b Bottle) At(key string) string {
	if key == "" {
		return b.at.String()
	}
	return b.written[key].String()
}

// RoutesIn is the bottle whose table holds the routes: another list here would replace them.
func (b Bottle) RoutesIn() string { return b.routesIn }

// RemotesIn is the bottle whose table holds the remotes.
func (b Bottle) RemotesIn() string { return b.remotesIn }

// At is the file and the line where the route was written.
func (r Route) At() string { return r.at.String() }

// At is the file and the line where the remote was written.
func (r Remote) At() string { return r.at.String() }

// places are those of the keys of a table, and of its tables that hold single keys.
func places(t *table) map[string]place {
	all := map[string]place{}
	for key := range t.values {
		all[key] = t.at(key)
	}
	for _, group := range []string{"env", "resources", "git"} {
		values, ok := t.values[group].(map[string]any)
		if !ok {
			continue
		}
		inner := &table{place: t.at(group), values: values, pos: t.pos.key(group)}
		for key := range values {
			all[group+"."+key] = inner.at(key)
		}
	}
	return all
}
