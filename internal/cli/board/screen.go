package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"bottle.internal/internal/printable"
)

const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeScreen  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// Screen is live until q, ^C or the end of ctx, and leaves the terminal as it was.
func (w Watch) Screen(ctx context.Context, keyboard *os.File) error {
	fd := int(keyboard.Fd())
	saved, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("preparing the terminal: %w", err)
	}
	_, _ = io.WriteString(w.Out, enterScreen)
	defer func() {
		_, _ = io.WriteString(w.Out, leaveScreen)
		_ = term.Restore(fd, saved)
	}()
	var b board
	for !b.quit && ctx.Err() == nil {
		b.update(w.App.Proposals(ctx, w.Identity))
		w.draw(&b, fd)
		keys, err := readKeys(keyboard, watchEvery)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		for _, key := range keys {
			if i := b.key(key); i.show != "" || i.decide != "" {
				w.act(ctx, &b, i)
				break // what was typed ahead was typed without having seen this
			}
		}
	}
	return nil
}

func (w Watch) draw(b *board, fd int) {
	width, height, err := term.GetSize(fd)
	if err != nil || width < 20 || height < 5 {
		width, height = 80, 24
	}
	// One write, so that the terminal never shows half of it.
	_, _ = io.WriteString(w.Out, homeScreen+strings.Join(b.lines(width-1, height), clearLine+"\r\n")+clearLine+clearRest)
}

// act does what a key asked for and shows what came of it.
func (w Watch) act(ctx context.Context, b *board, i intent) {
	switch {
	case i.show != "":
		p, err := w.App.ShowProposal(ctx, i.show)
		if err != nil {
			b.message = printable.SafeLine(err.Error())
			return
		}
		b.show(p)
	case i.decide != "":
		p, err := w.App.Decide(ctx, i.decide, i.answer)
		if err == nil {
			b.open, b.message = nil, Result(p)
			return
		}
		b.message = printable.SafeLine(err.Error())
		if again, err := w.App.ShowProposal(ctx, i.decide); err == nil {
			b.show(again)
		}
	}
}

// readKeys waits at most patience for keys. Arrows are j and k.
func readKeys(in *os.File, patience time.Duration) ([]rune, error) {
	var set unix.FdSet
	fd := int(in.Fd())
	set.Zero()
	set.Set(fd)
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	n, err := unix.Select(fd+1, &set, nil, nil, &timeout)
	if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var buffer [64]byte
	n, err = in.Read(buffer[:])
	if err != nil {
		return nil, err
	}
	text := strings.NewReplacer("\x1b[A", "k", "\x1b[B", "j", "\x1bOA", "k", "\x1bOB", "j", "\n", "\r").Replace(string(buffer[:n]))
	var keys []rune
	for _, r := range text {
		if r != utf8.RuneError {
			keys = append(keys, r)
		}
	}
	return keys, nil
}
