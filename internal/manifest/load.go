package manifest

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// Source is the text of one manifest.
type Source struct {
	Path string // shown in messages; relative paths in the manifest start at its directory
	Data []byte
}

// Sources are the manifests of one run.
type Sources struct {
	User Source  // the user's own: bottles and agents
	Cwd  *Source // the working directory's: agents only; nil without one, or when it is the same file
}

// Load reads the manifests. It reports every problem that it finds, as a [*Problems].
func Load(sources Sources) (*Set, error) {
	out := &collector{}
	user := &source{name: plainPath(sources.User.Path), path: sources.User.Path, out: out}
	set := &Set{UserPath: sources.User.Path, Bottles: map[string]Bottle{}, Agents: map[string]Agent{}}
	loader := &loader{bottles: map[string]*rawBottle{}, agents: map[string]*rawAgent{}}
	if root := parse(user, sources.User.Data); root != nil {
		loader.user(root)
	}
	if sources.Cwd != nil {
		set.CwdPath = sources.Cwd.Path
		cwd := &source{name: plainPath(sources.Cwd.Path), path: sources.Cwd.Path, rank: 1, out: out}
		if root := parse(cwd, sources.Cwd.Data); root != nil {
			loader.cwd(root, sources.User.Path)
		}
	}
	set.Bottles = resolve(loader.bottles)
	loader.link()
	if err := out.err(); err != nil {
		return nil, err
	}
	for name, agent := range loader.agents {
		set.Agents[name] = agent.Agent
	}
	return set, nil
}

// parse returns the top table of a source, or nil if it is no TOML.
func parse(src *source, data []byte) *table {
	top := place{src: src}
	if len(data) > MaxSize {
		top.bad("is larger than 1 MiB")
		return nil
	}
	positions, err := scan(string(data))
	if err != nil && !errors.Is(err, errNotTOML) {
		top.bad("%v", err)
		return nil
	}
	values := map[string]any{}
	if _, err := toml.Decode(string(data), &values); err != nil {
		if syntax, ok := errors.AsType[toml.ParseError](err); ok {
			top.line = syntax.Position.Line
			top.bad("this is not TOML: %s", plainText(syntax.Message))
			return nil
		}
		top.bad("this is not TOML: %s", plainText(err.Error()))
		return nil
	}
	return &table{place: top, values: values, pos: positions}
}

// plainText escapes what the parser quotes from the file.
func plainText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// loader gathers what the sources define, before anything is checked across them.
type loader struct {
	bottles map[string]*rawBottle
	agents  map[string]*rawAgent
}

func (l *loader) user(root *table) {
	for _, t := range root.named("bottles") {
		l.bottles[t.name] = readBottle(t.table, t.name)
	}
	for _, t := range root.named("agents") {
		l.agents[t.name] = readAgent(t.table, t.name, false)
	}
	root.done()
}

func (l *loader) cwd(root *table, userPath string) {
	if _, ok := root.get("bottles"); ok {
		root.bad("bottles", "they are not taken from the working directory, because a cloned repository "+
			"could give itself credentials and hosts; move them to %s", plainPath(userPath))
	}
	for _, t := range root.named("agents") {
		agent := readAgent(t.table, t.name, true)
		if shadowed, ok := l.agents[t.name]; ok {
			agent.at.bad("an agent of the working directory may not replace your own of that name (%s:%d); rename it",
				shadowed.at.src.name, shadowed.at.line)
			continue
		}
		l.agents[t.name] = agent
	}
	root.done()
}

// link checks that every agent may use the bottle that it names.
func (l *loader) link() {
	for _, name := range slices.Sorted(maps.Keys(l.agents)) {
		agent := l.agents[name]
		if agent.Bottle == "" {
			continue
		}
		bottle, ok := l.bottles[agent.Bottle]
		switch {
		case !ok:
			agent.bottleAt.bad("there is no bottle %q%s", agent.Bottle, suggest(agent.Bottle, slices.Sorted(maps.Keys(l.bottles)), "bottles"))
		case agent.FromCwd && !bottle.AllowCwdAgents:
			agent.bottleAt.bad("bottle %q takes no agents of a working directory; if you trust this one, write allow_cwd_agents = true in [bottles.%s] of %s",
				agent.Bottle, agent.Bottle, bottle.at.src.name)
		}
	}
}
