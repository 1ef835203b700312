package manifest

import "strings"

// value reads one value of a key or an array.
func (s *scanner) value(at *pos, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	switch {
	case strings.HasPrefix(s.text[s.at:], `"""`), strings.HasPrefix(s.text[s.at:], `'''`):
		return s.multiline()
	case s.peek() == '"', s.peek() == '\'':
		return s.quoted()
	case s.peek() == '[':
		return s.array(at, depth)
	case s.peek() == '{':
		return s.inline(at, depth)
	}
	// A number, a boolean or a date; a date may hold a blank.
	start := s.at
	for s.at < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.at])) {
		s.at++
	}
	if s.at == start {
		return errNotTOML
	}
	return nil
}

func (s *scanner) array(at *pos, depth int) error {
	s.at++
	for {
		s.blank()
		if s.take("]") {
			return nil
		}
		item := &pos{line: s.line}
		at.items = append(at.items, item)
		if err := s.value(item, depth+1); err != nil {
			return err
		}
		s.blank()
		if !s.take(",") && s.peek() != ']' {
			return errNotTOML
		}
	}
}

func (s *scanner) inline(at *pos, depth int) error {
	s.at++
	for {
		s.blank()
		if s.take("}") {
			return nil
		}
		if err := s.pair(at, depth+1); err != nil {
			return err
		}
		s.blank()
		if !s.take(",") && s.peek() != '}' {
			return errNotTOML
		}
	}
}

// quoted skips a one-line string.
func (s *scanner) quoted() error {
	quote := s.text[s.at]
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\n':
			return errNotTOML
		case c == '\\' && quote == '"':
			s.at++
		case c == quote:
			s.at++
			return nil
		}
	}
	s.at = len(s.text)
	return errNotTOML
}

// multiline skips a string in triple quotes; up to two quotes may stand before the end.
func (s *scanner) multiline() error {
	quotes := s.text[s.at : s.at+3]
	for s.at += 3; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\n':
			s.line++
		case c == '\\' && quotes == `"""`:
			s.at++
			if s.peek() == '\n' {
				s.line++
			}
		case s.take(quotes):
			for range 2 {
				s.take(quotes[:1])
			}
			return nil
		}
	}
	s.at = len(s.text)
	return errNotTOML
}
