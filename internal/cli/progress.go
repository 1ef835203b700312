package cli

import (
	"context"
	"fmt"
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

// progressFlags declares --quiet and --events, which [command.run] obeys.
func progressFlags(flags *pflag.FlagSet) {
	flags.BoolP("quiet", "q", false, "show no progress; warnings and questions stay")
	flags.String("events", "", "write each step to this new `file` too, as a line of JSON with its time")
}

// flagValue is what a flag says that not every verb has.
func flagValue(flags *pflag.FlagSet, name string) string {
	if flag := flags.Lookup(name); flag != nil {
		return flag.Value.String()
	}
	return ""
}

// sinks are where progress goes; done ends them.
func sinks(streams Streams, flags *pflag.FlagSet, plain bool) (sink event.Sink, done func(), err error) {
	path := flagValue(flags, "events")
	if path == "" {
		sink, done = progress(streams.Stderr, flagValue(flags, "quiet") == "true", plain)
		return sink, done, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the file of --events: %w", err)
	}
	shown, end := progress(streams.Stderr, flagValue(flags, "quiet") == "true", plain)
	return event.Tee(shown, event.NewJSON(file, time.Now)), func() { end(); _ = file.Close() }, nil
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
