//go:build linux

// Command smolvm-lite stands in for smolvm where that cannot run: it speaks the part
// of smolvm's command line that this project uses, over QEMU.
package main

import (
	"context"
	"fmt"
	"os"

	"bottle.internal/internal/lite/cli"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error: finding this program:", err)
		os.Exit(1)
	}
	app := &cli.App{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Self: self}
	os.Exit(app.Run(context.Background(), os.Args[1:]))
}
