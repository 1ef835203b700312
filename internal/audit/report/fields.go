package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/printable"
)

// fields are the ones that the daemons and the host use. One that has another type than it
// should is as if it were not there.
type fields struct {
	Method   string    `json:"method"`
	Host     string    `json:"host"`
	Port     int       `json:"port"`
	Path     string    `json:"path"`
	Rule     string    `json:"rule"`
	Reason   string    `json:"reason"`
	Problem  string    `json:"problem"`
	Where    string    `json:"where"`
	Up       int64     `json:"bytes_up"`
	Down     int64     `json:"bytes_down"`
	Count    int       `json:"count"`
	Blocked  *bool     `json:"blocked"`
	Kind     string    `json:"kind"`
	Scanner  string    `json:"scanner"`
	Tool     string    `json:"tool"`
	Push     uint64    `json:"push"`
	Remote   string    `json:"remote"`
	Refs     []refLine `json:"refs"`
	Commits  int       `json:"commits"`
	Objects  int       `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Line     int       `json:"line"`
	Decision string    `json:"decision"`

	ID            string   `json:"id"` // a number in other daemons' lines
	Methods       []string `json:"methods"`
	Paths         []string `json:"paths"`
	Justification string   `json:"justification"`
	Capability    string   `json:"capability"`
	Ref           string   `json:"ref"`
	Old           string   `json:"old"`
	New           string   `json:"new"`
	Reasons       []string `json:"reasons"`
	Status        status   `json:"status"`
	By            string   `json:"by"`
	Note          string   `json:"note"`
	Keep          bool     `json:"keep"`
	Credential    string   `json:"with_credential"`
	Suppressed    int      `json:"suppressed"`

	Code  *int   `json:"code"`
	Error string `json:"error"`
	Fresh bool   `json:"fresh"`
	Kept  bool   `json:"kept"`
}

type refLine struct{ Ref, Old, New string }

// status is a word; HTTP's numbers are none.
type status string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *status) UnmarshalJSON(raw []byte) error {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		*s = status(word)
	}
	return nil
}

func parse(line audit.Line) fields {
	var f fields
	_ = json.Unmarshal(line.Fields, &f) // a field of another type is skipped, and the others are read
	return f
}

func (f fields) target() string {
	switch {
	case f.Host == "":
		return ""
	case f.Port == 0:
		return f.Host
	}
	return fmt.Sprintf("%s:%d", f.Host, f.Port)
}

// file names where something was found.
func (f fields) file() string {
	if f.Path == "" || f.Line == 0 {
		return f.Path
	}
	return fmt.Sprintf("%s:%d", f.Path, f.Line)
}

// object is the fields of a line by name.
func object(line audit.Line) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(line.Fields, &all) // the log holds objects only
	return all
}

// plain is a value without the quotes of a string.
func plain(raw json.RawMessage) string {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		return word
	}
	return string(raw)
}

// pairs lists the values that are not taken yet, by name.
func pairs(all map[string]json.RawMessage, taken ...string) []Pair {
	var list []Pair
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(taken, name) && len(list) < maxPairs {
			list = append(list, Pair{text(name), text(plain(all[name]))})
		}
	}
	return list
}

const maxPairs = 30

// details is all of an event in one line. Strings keep their quotes: none can pose as
// another value.
func details(line audit.Line) Text {
	all := object(line)
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "event" || name == "time" {
			continue
		}
		if out.Len() > maxDetail {
			break // Text says that it was cut
		}
		fmt.Fprintf(&out, "%s=%s ", name, all[name])
	}
	return Text{cut(out.String())}
}

func cut(raw string) string { return printable.ASCII(strings.TrimSpace(raw), maxDetail) }
