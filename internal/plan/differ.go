package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

type differ struct{ list Changes }

func (d *differ) add(effect Effect, field, before, after, at string) {
	d.list = append(d.list, Change{Effect: effect, Field: field, Old: orNone(before), New: orNone(after), At: at})
}

// value compares two single values.
func (d *differ) value(effect Effect, field, before, after, at string) {
	if before != after {
		d.add(effect, field, before, after, at)
	}
}

// flag compares two switches; on is what turning it on does.
func (d *differ) flag(on Effect, field string, before, after bool, at string) {
	effect := on
	if !after {
		effect = opposite(on)
	}
	d.value(effect, field, onOff(before), onOff(after), at)
}

func opposite(effect Effect) Effect {
	switch effect {
	case Widens:
		return Narrows
	case Narrows:
		return Widens
	}
	return effect
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// set compares two lists whose order means nothing. covers says whether a list has all
// that an item stands for; more is what an item that is not covered does.
func (d *differ) set(more Effect, field string, before, after []string, covers func([]string, string) bool, at string) {
	if slices.Equal(slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after))) {
		return
	}
	uncovered := func(list, by []string) bool {
		return slices.ContainsFunc(list, func(item string) bool { return !covers(by, item) })
	}
	added, removed := uncovered(after, before), uncovered(before, after)
	effect := Differs
	switch {
	case added && more == Widens, removed && more == Narrows:
		effect = Widens
	case added && more == Narrows, removed && more == Widens:
		effect = Narrows
	}
	d.add(effect, field, strings.Join(before, " "), strings.Join(after, " "), at)
}

func has(list []string, item string) bool { return slices.Contains(list, item) }

// pair is an entry of a keyed list before and after; nil where there is none.
type pair[T any] struct {
	key           string
	before, after *T
}

func pairs[T any](before, after []T, key func(T) string) []pair[T] {
	all := map[string]pair[T]{}
	for _, entry := range before {
		all[key(entry)] = pair[T]{key: key(entry), before: &entry}
	}
	for _, entry := range after {
		p := all[key(entry)]
		p.key, p.after = key(entry), &entry
		all[p.key] = p
	}
	return slices.SortedFunc(maps.Values(all), func(a, b pair[T]) int { return cmp.Compare(a.key, b.key) })
}
