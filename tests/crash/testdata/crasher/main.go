// Command crasher is bottle, but it notes every effect in the file $CRASH_LOG, and kills
// itself after the one that $CRASH_AT names.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"

	"bottle.internal/internal/app"
	"bottle.internal/internal/cli"
)

var identity = regexp.MustCompile(`[a-z][a-z0-9-]*-[a-z0-9]{5}\b`)

func main() {
	log, err := os.OpenFile(os.Getenv("CRASH_LOG"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	config := app.FromProcess()
	config.Observe = func(effect string) {
		mu.Lock()
		defer mu.Unlock()
		effect = identity.ReplaceAllString(effect, "ID")
		seen[effect]++
		name := fmt.Sprintf("%s #%d", effect, seen[effect])
		_, _ = fmt.Fprintln(log, name)
		if name == os.Getenv("CRASH_AT") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing else happens
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Run(ctx, cli.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, config, os.Args[1:])
	stop()
	os.Exit(code)
}
