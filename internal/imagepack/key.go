package imagepack

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// formatVersion is part of every key and record: raise it when either changes meaning.
const formatVersion = 1

// target is the artifact that an Ensure is about.
type target struct {
	image  Image
	digest string
	inputs []Part
	key    string
}

func (s *Store) target(image Image, digest string) target {
	tool := "none"
	if s.config.Packer != nil {
		name, version := s.config.Packer.Tool()
		tool = name + " " + version
	}
	inputs := []Part{
		{"format", strconv.Itoa(formatVersion)},
		{"image", digest},
		{"platform", s.config.Platform},
		{"tool", tool},
	}
	for _, option := range s.config.Options {
		inputs = append(inputs, Part{"option " + option.Name, option.Value})
	}
	return target{image: image, digest: digest, inputs: inputs, key: keyOf(inputs)}
}

// keyOf hashes the JSON form, in which no two lists of parts look alike.
func keyOf(inputs []Part) string {
	raw, err := json.Marshal(inputs)
	if err != nil { // cannot happen: strings only
		panic(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Explanation says what a key was made of and what is different from the newest
// artifact of the same recipe name.
type Explanation struct {
	Name      string   `json:"name"`
	Key       string   `json:"key,omitempty"` // empty while the image was never built
	Inputs    []Part   `json:"inputs"`
	RecipeKey string   `json:"recipe_key"`
	Recipe    []Part   `json:"recipe,omitempty"`
	Against   string   `json:"against,omitempty"` // key of the artifact compared with
	Changes   []Change `json:"changes,omitempty"`
}

// Change is one part that differs. Was or Now is empty for a part that is new or gone.
type Change struct {
	Name string `json:"name"`
	Was  string `json:"was,omitempty"`
	Now  string `json:"now,omitempty"`
}

const notBuilt = "not built yet"

// Explain answers from the records: it builds nothing, and takes no lock.
func (s *Store) Explain(image Image) Explanation {
	if known, err := s.paths.readRecipe(image.Key); err == nil {
		return s.compare(s.target(image, known.Digest))
	}
	want := s.target(image, notBuilt)
	want.key = ""
	return s.compare(want)
}

func (t target) explanation() Explanation {
	return Explanation{
		Name: t.image.Name, Key: t.key, Inputs: t.inputs,
		RecipeKey: t.image.Key, Recipe: t.image.Parts,
	}
}

func (s *Store) compare(want target) Explanation {
	explained := want.explanation()
	newest, ok := s.paths.newest(want.image.Name)
	if !ok {
		return explained
	}
	explained.Against = newest.Key
	if newest.Key != want.key || newest.Recipe != want.image.Key {
		explained.Changes = append(changes(newest.Inputs, want.inputs), changes(newest.Parts, want.image.Parts)...)
	}
	return explained
}

// changes compares by name. Parts that share a name are compared in their order.
func changes(was, now []Part) []Change {
	type slot struct {
		name string
		n    int
	}
	index := func(parts []Part) map[slot]string {
		count, indexed := map[string]int{}, map[slot]string{}
		for _, part := range parts {
			indexed[slot{part.Name, count[part.Name]}] = part.Value
			count[part.Name]++
		}
		return indexed
	}
	before, after := index(was), index(now)
	var found []Change
	for at, value := range after {
		if before[at] != value {
			found = append(found, Change{Name: at.name, Was: before[at], Now: value})
		}
	}
	for at, value := range before {
		if _, still := after[at]; !still {
			found = append(found, Change{Name: at.name, Was: value})
		}
	}
	slices.SortFunc(found, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Now, b.Now))
	})
	return found
}

// String is the text of --explain.
func (e Explanation) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: artifact %s\n", e.Name, cmp.Or(e.Key, notBuilt))
	for _, part := range e.Inputs {
		fmt.Fprintf(&out, "  %s: %s\n", part.Name, part.Value)
	}
	fmt.Fprintf(&out, "recipe %s\n", e.RecipeKey)
	for _, part := range e.Recipe {
		fmt.Fprintf(&out, "  %s: %s\n", part.Name, part.Value)
	}
	switch {
	case e.Against == "":
		fmt.Fprintf(&out, "no earlier artifact of %s\n", e.Name)
	case len(e.Changes) == 0:
		fmt.Fprintf(&out, "nothing changed since artifact %.12s\n", e.Against)
	default:
		fmt.Fprintf(&out, "changed since artifact %.12s:\n", e.Against)
	}
	for _, change := range e.Changes {
		fmt.Fprintf(&out, "  %s: %s -> %s\n", change.Name, cmp.Or(change.Was, "(none)"), cmp.Or(change.Now, "(none)"))
	}
	return out.String()
}
