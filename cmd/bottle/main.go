// Command bottle runs AI coding agents in microVMs without a network device.
package main

import (
	"context"
	"os"
	"os/signal"

	"bottle.internal/internal/app"
	"bottle.internal/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	config := app.FromProcess()
	config.Self, _ = os.Executable() // without it nothing can be detached
	code := cli.Run(ctx, cli.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, config, os.Args[1:])
	stop()
	os.Exit(code)
}
