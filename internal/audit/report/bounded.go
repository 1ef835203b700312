package report

// ends keeps the first and the last of many.
type ends[T any] struct {
	keep       int
	head, tail []T
	seen       int
}

func (e *ends[T]) add(value T) {
	e.seen++
	if len(e.head) < e.keep {
		e.head = append(e.head, value)
		return
	}
	if e.tail = append(e.tail, value); len(e.tail) >= 2*e.keep {
		e.tail = append([]T(nil), e.tail[len(e.tail)-e.keep:]...)
	}
}

// split returns both ends and how many are missing between them.
func (e *ends[T]) split() (head []T, missing int, tail []T) {
	tail = e.tail[max(0, len(e.tail)-e.keep):]
	return e.head, e.seen - len(e.head) - len(tail), tail
}

// all is both ends as one list, and how many are missing in its middle.
func (e *ends[T]) all() (list []T, missing int) {
	head, missing, tail := e.split()
	return append(append(list, head...), tail...), missing
}

// groups counts by key, in the order in which the keys came. What finds no room is counted
// together.
type groups[K comparable, V any] struct {
	limit int
	byKey map[K]*V
	list  []*V
	more  int
}

// get returns the group of a key, which is new if its value is zero, or nil.
func (g *groups[K, V]) get(key K) *V {
	if value, ok := g.byKey[key]; ok {
		return value
	}
	if len(g.list) >= g.limit {
		g.more++
		return nil
	}
	if g.byKey == nil {
		g.byKey = map[K]*V{}
	}
	value := new(V)
	g.byKey[key], g.list = value, append(g.list, value)
	return value
}

func (g *groups[K, V]) has(key K) bool {
	_, ok := g.byKey[key]
	return ok
}
