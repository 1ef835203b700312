package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"bottle.internal/internal/event"
)

// tickEvery is how often live lines count the seconds.
const tickEvery = time.Second

// quietFlag declares --quiet, which [command.run] obeys.
func quietFlag(flags *pflag.FlagSet) {
	flags.BoolP("quiet", "q", false, "show no progress; warnings and questions stay")
}

func isSet(flags *pflag.FlagSet, name string) bool {
	flag := flags.Lookup(name)
	return flag != nil && flag.Value.String() == "true"
}

// plain reports whether the environment wants text alone: see no-color.org, and terminals
// that cannot move their cursor.
func plain(environ []string) bool {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	return values["NO_COLOR"] != "" || values["TERM"] == "dumb"
}

// progress draws live lines on a terminal and writes plain ones elsewhere. Done takes the
// live lines away, also those of steps that an interrupt ended.
func progress(stderr io.Writer, quiet, plain bool) (sink event.Sink, done func()) {
	file, ok := stderr.(*os.File)
	switch {
	case quiet:
		lines := event.NewPlain(stderr)
		return event.SinkFunc(func(ctx context.Context, e event.Event) {
			if e.Kind == event.Warn {
				lines.Send(ctx, e)
			}
		}), func() {}
	case !ok || plain || !term.IsTerminal(int(file.Fd())):
		return event.NewPlain(stderr), func() {}
	}
	live := event.NewTTY(file, func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return width
	})
	return live, ticking(live)
}

// ticking lets live lines count the seconds until it is told to stop.
func ticking(live *event.TTY) (stop func()) {
	var ticking sync.WaitGroup
	ended := make(chan struct{})
	ticking.Go(func() {
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				live.Tick()
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		ticking.Wait()
		live.Close()
	}
}
