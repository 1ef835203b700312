package guestexec

import (
	"context"
	"sync"
	"time"

	"bottle.internal/internal/guestapi"
	"bottle.internal/pkg/smolvm"
)

// Size is a terminal's.
type Size struct{ Rows, Cols int }

const (
	// firstSize bounds the wait for the terminal's size before a program starts.
	firstSize = 100 * time.Millisecond
	// The program may be only about to start when a size comes.
	sizeTries = 20
	sizePause = 250 * time.Millisecond
)

func first(ctx context.Context, sizes <-chan Size) (Size, bool) {
	if sizes == nil {
		return Size{}, false
	}
	select {
	case size := <-sizes:
		return size, true
	case <-ctx.Done():
	case <-time.After(firstSize):
	}
	return Size{}, false
}

// followSize passes every later size on, until stop.
func (g Guest) followSize(ctx context.Context, session string, sizes <-chan Size) (stop func()) {
	if session == "" || sizes == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case size := <-sizes:
				g.resize(ctx, sized{session, size, sizes})
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// sized is a size on its way to a session, unless there is a newer one.
type sized struct {
	session string
	size    Size
	newer   <-chan Size
}

// resize tries until the session takes the size. One that never does is a cosmetic loss.
func (g Guest) resize(ctx context.Context, s sized) {
	for range sizeTries {
		code, err := g.Machine.Exec(ctx, smolvm.ExecOptions{
			Name: g.Name, Command: guestapi.WinsizeArgs(s.session, uint16(s.size.Rows), uint16(s.size.Cols)),
		})
		if code == 0 && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case s.size = <-s.newer:
		case <-time.After(sizePause):
		}
	}
}
