package console

import (
	"sync"

	"bottle.internal/internal/guestexec"
)

// sizes passes the wanted size of the screen on, at the pace of whoever takes them: it
// takes the VM tool a moment to set one.
type sizes struct {
	out    chan guestexec.Size
	wanted chan request
	done   chan struct{}
	wg     sync.WaitGroup
}

type request struct {
	size   guestexec.Size
	redraw bool
}

// newSizes begins with a first size. Taken is told of each one that was taken.
func newSizes(first guestexec.Size, taken func(guestexec.Size)) *sizes {
	s := &sizes{out: make(chan guestexec.Size), wanted: make(chan request), done: make(chan struct{})}
	s.wg.Go(func() { s.run(first, taken) })
	return s
}

func (s *sizes) run(target guestexec.Size, taken func(guestexec.Size)) {
	var pending []guestexec.Size
	if target.Rows > 0 && target.Cols > 0 {
		pending = append(pending, target)
	}
	for {
		var out chan guestexec.Size
		var next guestexec.Size
		if len(pending) > 0 {
			out, next = s.out, pending[0]
		}
		select {
		case <-s.done:
			return
		case r := <-s.wanted:
			pending, target = plan(r, target, pending)
		case out <- next:
			taken(next)
			pending = pending[1:]
		}
	}
}

// plan says which sizes bring the screen to where it is wanted. Programs draw again when
// the size changes, and only then: for a viewer who is new it has to.
func plan(r request, target guestexec.Size, pending []guestexec.Size) ([]guestexec.Size, guestexec.Size) {
	if r.size.Rows == 0 || r.size.Cols == 0 {
		r.size = target
	}
	switch {
	case r.size.Rows == 0 || r.size.Cols == 0:
		return nil, target
	case r.size != target:
		return []guestexec.Size{r.size}, r.size
	case !r.redraw:
		return pending, target
	}
	other := r.size
	if other.Rows > 1 {
		other.Rows--
	} else {
		other.Rows++
	}
	return []guestexec.Size{other, r.size}, r.size
}

// want asks for a size; 0 for the one that there is.
func (s *sizes) want(size guestexec.Size, redraw bool) {
	select {
	case s.wanted <- request{size, redraw}:
	case <-s.done:
	}
}

func (s *sizes) close() {
	close(s.done)
	s.wg.Wait()
}
