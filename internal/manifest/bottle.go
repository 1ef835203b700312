package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"bottle.internal/internal/names"
)

const maxEcho = 8

// rawBottle is a bottle before inheritance.
type rawBottle struct {
	Bottle

	extends  string
	extendAt place
	modelAt  place
	declared map[string]bool // keys that were written, so that an empty list replaces too
	broken   bool            // it has problems of its own; checks across bottles would mislead
}

// readBottle reads one [bottles.X].
func readBottle(t *table, name string) *rawBottle {
	b := &rawBottle{extendAt: t.at("extends"), declared: map[string]bool{}}
	b.Name, b.File, b.at, b.written = name, t.src.path, t.place, places(t)
	b.routesIn, b.remotesIn = name, name
	problems := len(t.src.out.list)
	if err := names.Validate(name); err != nil {
		t.place.bad("%v", err)
	}
	b.extends, _ = t.text("extends")
	b.Env = readEnv(t.table("env"))
	readResources(t.table("resources"), &b.Resources)
	b.Supervise = t.flag("supervise")
	b.AllowCwdAgents = t.flag("allow_cwd_agents")
	if b.OnCanary, _ = t.text("on_canary"); b.OnCanary != "" && b.OnCanary != "cut" && b.OnCanary != "warn" {
		t.bad("on_canary", `must be "cut" or "warn", not %q`, b.OnCanary)
	}
	b.Echo = t.texts("echo", `["echo.bottle.test"]`, checkEcho)
	if len(b.Echo) > maxEcho {
		t.bad("echo", "has %d names, at most %d are allowed", len(b.Echo), maxEcho)
	}
	if model, ok := t.text("model"); ok {
		b.Model = strings.ToLower(model)
	}
	b.modelAt = t.at("model")
	readEgress(t.table("egress"), b)
	readGit(t.table("git"), b)
	for key := range t.values {
		b.declared[key] = true
	}
	t.done()
	b.broken = len(t.src.out.list) > problems
	return b
}

func readEgress(t *table, b *rawBottle) {
	if t == nil {
		return
	}
	b.declared["egress.routes"] = t.has("routes")
	first := map[string]int{}
	private := map[string]bool{}
	for _, one := range t.tables("routes", "[[bottles.NAME.egress.routes]]") {
		route, ok := readRoute(one)
		if !ok {
			continue
		}
		key := fmt.Sprintf("%s:%d", route.Host, route.Port)
		if line, double := first[key]; double {
			route.at.bad("%s is listed twice, first in line %d; one route holds all its methods and paths", key, line)
			continue
		}
		first[key] = route.at.line
		// The address guard of pipelock knows hosts, not ports.
		if before, known := private[route.Host]; known && before != route.Private {
			route.at.bad(`%s has address = "private" on one port and not on another`, route.Host)
		}
		private[route.Host] = route.Private
		b.Routes = append(b.Routes, route)
	}
	t.done()
}

func readGit(t *table, b *rawBottle) {
	if t == nil {
		return
	}
	b.declared["git.remotes"] = t.has("remotes")
	first := map[string]int{}
	for _, one := range t.tables("remotes", "[[bottles.NAME.git.remotes]]") {
		remote, ok := readRemote(one)
		if !ok {
			continue
		}
		if line, double := first[remote.Name]; double {
			remote.at.bad("%q is the name of two remotes, the first in line %d", remote.Name, line)
			continue
		}
		first[remote.Name] = remote.at.line
		b.Remotes = append(b.Remotes, remote)
	}
	b.GitUser = readGitUser(t.table("user"))
	t.done()
}

// checkEcho keeps echo names in .test, which exists nowhere else: an echo container
// must never stand in for a real host.
func checkEcho(at place, text string) (string, bool) {
	host, problem := parseName(text)
	if p := notAHost(text); p != "" {
		problem = p
	}
	if problem == "" && !mayBeEcho(host) {
		problem = fmt.Sprintf("%q must end in .test: the echo container may not stand in for a real host", text)
	}
	if problem != "" {
		at.bad("%s", problem)
	}
	return host, problem == ""
}

func mayBeEcho(host string) bool { return strings.HasSuffix(host, ".test") }

func readResources(t *table, r *Resources) {
	if t == nil {
		return
	}
	r.CPUs = t.number("cpus", 64)
	r.MemoryMiB = readSize(t, "memory", size{unit: 1, low: 256, top: 512 << 10, example: `"2GiB"`})
	r.DiskGiB = readSize(t, "disk", size{unit: 1 << 10, low: 1 << 10, top: 1 << 20, example: `"10GiB"`})
	t.done()
}

// size says what readSize accepts, in MiB.
type size struct {
	unit, low, top int
	example        string
}

var sizePattern = regexp.MustCompile(`^([1-9][0-9]{0,6})(MiB|GiB)$`)

// readSize reads "512MiB" or "2GiB" and returns it in multiples of the unit.
func readSize(t *table, key string, s size) int {
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	text, ok := v.(string)
	parts := sizePattern.FindStringSubmatch(text)
	if !ok || parts == nil {
		t.bad(key, "must be a size with its unit, MiB or GiB, such as %s", s.example)
		return 0
	}
	mib, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	if parts[2] == "GiB" {
		mib <<= 10
	}
	switch {
	case mib < s.low || mib > s.top:
		t.bad(key, "must be from %s to %s, not %s", sizeText(s.low), sizeText(s.top), text)
		return 0
	case mib%s.unit != 0:
		t.bad(key, "must be a whole number of GiB, not %s", text)
		return 0
	}
	return mib / s.unit
}

func sizeText(mib int) string {
	if mib%(1<<10) == 0 {
		return fmt.Sprintf("%dGiB", mib>>10)
	}
	return fmt.Sprintf("%dMiB", mib)
}
