// Package needle finds strings in streams, in every spelling of [Spellings], whatever
// the pieces are that the stream arrives in.
//
// Invariants: a needle is found when its last byte arrives, also when a piece ends inside
// it; [Redact] never lets a whole needle out, keeps the length of the stream, and holds
// back only bytes that may be the beginning of a needle.
package needle

// Set is a set of needles as an automaton (Aho and Corasick). It is immutable; scanners
// share it. Nodes are few children wide, so a list of siblings beats a table: a token of
// 4 KiB in all its spellings would take megabytes.
type Set struct {
	root    [256]int32 // children of the root; 0 is the root itself
	nodes   []node
	deepest int
	// Where no needle is under way, the last two bytes of a window say how far it can move
	// on before a needle can begin in it (Wu and Manber): most of a text is never looked at.
	window int // bytes, no longer than the shortest needle; 0: there is none
	shift  *[shiftSize]uint8
}

const (
	maxWindow = 16
	shiftSize = 1 << 12
)

// shiftKey takes several pairs of bytes together; the smallest move holds for all of them.
func shiftKey(first, second byte) uint { return (uint(first)<<4 ^ uint(second)) % shiftSize }

type node struct {
	child, sibling int32 // 0: none
	fail           int32
	depth          int32
	match          int32 // length of the longest needle that ends here; 0: none
	id             int32 // of that needle
	label          byte
}

// NewSet makes the automaton. The id of a needle is the key of the map that it is under;
// empty needles are left out.
func NewSet(needles map[int][]string) *Set {
	s := &Set{nodes: make([]node, 1)}
	var all []string
	for id, list := range needles {
		for _, text := range list {
			if text != "" {
				s.add(text, int32(id))
				all = append(all, text)
			}
		}
	}
	s.link()
	s.slide(all)
	return s
}

// Empty reports whether there is nothing to find.
func (s *Set) Empty() bool { return s == nil || len(s.nodes) == 1 }

func (s *Set) add(text string, id int32) {
	at := int32(0)
	for i := range len(text) {
		next := s.step(at, text[i])
		if next == 0 {
			next = int32(len(s.nodes))
			s.nodes = append(s.nodes, node{depth: int32(i) + 1, label: text[i], sibling: s.nodes[at].child})
			s.nodes[at].child = next
			if at == 0 {
				s.root[text[i]] = next
			}
		}
		at = next
	}
	// The smaller id wins where two secrets share a spelling: maps have no order.
	if s.nodes[at].match == 0 || id < s.nodes[at].id {
		s.nodes[at].match, s.nodes[at].id = int32(len(text)), id
	}
	s.deepest = max(s.deepest, len(text))
}

// step is the child of at under b, or 0.
func (s *Set) step(at int32, b byte) int32 {
	if at == 0 {
		return s.root[b]
	}
	for child := s.nodes[at].child; child != 0; child = s.nodes[child].sibling {
		if s.nodes[child].label == b {
			return child
		}
	}
	return 0
}

// link sets the failure of each node, breadth first, and hands matches up.
func (s *Set) link() {
	queue := make([]int32, 0, len(s.nodes))
	for child := s.nodes[0].child; child != 0; child = s.nodes[child].sibling {
		queue = append(queue, child)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		n := &s.nodes[at]
		if n.match == 0 {
			n.match, n.id = s.nodes[n.fail].match, s.nodes[n.fail].id
		}
		for child := n.child; child != 0; child = s.nodes[child].sibling {
			s.nodes[child].fail = s.next(n.fail, s.nodes[child].label)
			queue = append(queue, child)
		}
	}
}

func (s *Set) slide(needles []string) {
	window := maxWindow
	for _, text := range needles {
		window = min(window, len(text))
	}
	if len(needles) == 0 || window < 2 {
		return
	}
	shift := new([shiftSize]uint8)
	for key := range shift {
		shift[key] = uint8(window - 1)
	}
	for _, text := range needles {
		for end := 1; end < window; end++ {
			key := shiftKey(text[end-1], text[end])
			shift[key] = min(shift[key], uint8(window-1-end))
		}
	}
	s.window, s.shift = window, shift
}

// next is the state after b, by failures where there is no child.
func (s *Set) next(at int32, b byte) int32 {
	for at != 0 {
		if child := s.step(at, b); child != 0 {
			return child
		}
		at = s.nodes[at].fail
	}
	return s.root[b]
}

// Scanner looks for needles in one stream. The zero state is the beginning of it.
type Scanner struct {
	Set *Set
	at  int32
}

// Scan reads the next piece. It stops at the first needle and answers with its id.
func (s *Scanner) Scan(piece []byte) (id int, found bool) {
	if s.Set.Empty() {
		return 0, false
	}
	_, id, found = scan(s, piece)
	return id, found
}

// scan answers with the offset behind the needle; its length is in the state's node.
func scan[T string | []byte](s *Scanner, piece T) (end, id int, found bool) {
	set, at := s.Set, s.at
	for i := 0; i < len(piece); {
		if at == 0 {
			i = skip(set, piece, i)
		}
		at = set.next(at, piece[i])
		i++
		if set.nodes[at].match > 0 {
			s.at = at
			return i, int(set.nodes[at].id), true
		}
	}
	s.at = at
	return len(piece), 0, false
}

// skip moves on to where a needle may begin, or to the last bytes, in which one may begin
// that ends in the next piece.
func skip[T string | []byte](set *Set, piece T, from int) int {
	if set.shift == nil {
		return from
	}
	for from+set.window <= len(piece) {
		jump := set.shift[shiftKey(piece[from+set.window-2], piece[from+set.window-1])]
		if jump == 0 {
			break
		}
		from += int(jump)
	}
	return from
}

// Find looks for needles in one text.
func (s *Set) Find(text string) (id int, found bool) {
	if s.Empty() {
		return 0, false
	}
	_, id, found = scan(&Scanner{Set: s}, text)
	return id, found
}
