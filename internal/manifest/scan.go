package manifest

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// BurntSushi/toml tells the line of a syntax error but not that of a key, and not at
// all that of an element. The scanner here finds the lines, and it goes first: it also
// bounds nesting and key length before the parser, which recurses, sees the bytes.
// What it does not understand it leaves to the parser, which then says what is wrong.

const (
	maxDepth  = 32
	maxKeyLen = 512
)

var (
	errTooDeep    = errors.New("it nests deeper than 32 levels")
	errKeyTooLong = errors.New("a key is longer than 512 bytes")
	errNotTOML    = errors.New("not understood") // the parser has the better text
)

// pos mirrors the parsed tree: where each key and element begins.
type pos struct {
	line  int
	keys  map[string]*pos
	items []*pos
}

func (p *pos) key(name string) *pos {
	if p == nil {
		return nil
	}
	return p.keys[name]
}

func (p *pos) item(i int) *pos {
	if p == nil || i >= len(p.items) {
		return nil
	}
	return p.items[i]
}

// child finds or makes the position of a key.
func (p *pos) child(name string, line int) *pos {
	if p.keys == nil {
		p.keys = map[string]*pos{}
	}
	if p.keys[name] == nil {
		p.keys[name] = &pos{line: line}
	}
	return p.keys[name]
}

type scanner struct {
	text string
	at   int
	line int
}

// scan returns the positions of everything in a document. An error other than
// errNotTOML refuses the document.
func scan(text string) (*pos, error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\ufeff"} {
		text = strings.TrimPrefix(text, mark) // the parser skips these byte order marks too
	}
	s := &scanner{text: text, line: 1}
	root := &pos{line: 1}
	table := root
	for {
		s.blank()
		if s.at >= len(s.text) {
			return root, nil
		}
		var err error
		if s.peek() == '[' {
			table, err = s.header(root)
		} else {
			err = s.pair(table, 0)
		}
		if err != nil {
			return root, err
		}
	}
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) take(token string) bool {
	if !strings.HasPrefix(s.text[s.at:], token) {
		return false
	}
	s.at += len(token)
	return true
}

// space skips blanks within a line.
func (s *scanner) space() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.at++
	}
}

// blank skips blanks, newlines and comments.
func (s *scanner) blank() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '\n':
			s.line++
			s.at++
		case ' ', '\t', '\r':
			s.at++
		case '#':
			end := strings.IndexByte(s.text[s.at:], '\n')
			if end < 0 {
				end = len(s.text) - s.at
			}
			s.at += end
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table that the following pairs fill.
func (s *scanner) header(root *pos) (*pos, error) {
	line := s.line
	s.at++
	array := s.take("[")
	keys, err := s.dotted()
	if err != nil {
		return nil, err
	}
	if !s.take("]") || array && !s.take("]") {
		return nil, errNotTOML
	}
	table := root
	for i, key := range keys {
		table = table.child(key, line)
		if array && i == len(keys)-1 {
			table.items = append(table.items, &pos{line: line})
		}
		if n := len(table.items); n > 0 {
			table = table.items[n-1]
		}
	}
	if !array {
		// [a.b] may come before [a]: the table's own header is the better line.
		table.line = line
	}
	return table, nil
}

// pair reads key = value.
func (s *scanner) pair(table *pos, depth int) error {
	line := s.line
	keys, err := s.dotted()
	if err != nil {
		return err
	}
	for _, key := range keys {
		table = table.child(key, line)
	}
	if !s.take("=") {
		return errNotTOML
	}
	s.space()
	return s.value(table, depth+len(keys))
}

// dotted reads a key and the blanks around it.
func (s *scanner) dotted() ([]string, error) {
	var keys []string
	for {
		s.space()
		key, err := s.oneKey()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
		if len(keys) > maxDepth {
			return nil, errTooDeep
		}
		s.space()
		if !s.take(".") {
			return keys, nil
		}
	}
}

func (s *scanner) oneKey() (string, error) {
	start := s.at
	switch s.peek() {
	case '"', '\'':
		if err := s.quoted(); err != nil {
			return "", err
		}
	default:
		for isBareKey(s.peek()) {
			s.at++
		}
	}
	raw := s.text[start:s.at]
	switch {
	case raw == "":
		return "", errNotTOML
	case len(raw) > maxKeyLen:
		return "", errKeyTooLong
	case raw[0] == '\'':
		return raw[1 : len(raw)-1], nil
	case raw[0] != '"':
		return raw, nil
	case !strings.Contains(raw, `\`):
		return raw[1 : len(raw)-1], nil
	}
	// The parser knows the escapes.
	var holder struct{ Key string }
	if _, err := toml.Decode("key = "+raw, &holder); err != nil {
		return "", errNotTOML
	}
	return holder.Key, nil
}

func isBareKey(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
