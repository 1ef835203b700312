//go:build linux

// Command bundle is every program of the bundle's image in one static file.
//
// `bundle init` is PID 1 and runs the daemons; `bundle firewall` is one of them. `bundle
// echo` is the demo's upstream, in a container of its own. `bundle health` and `bundle
// dial` are run by hand or by the host inside a running container.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/initd"
)

const usage = `usage: bundle COMMAND

  init             run the daemons (PID 1 of the container)
  health           ask init whether every daemon answers
  dial HOST:PORT   tell whether a TCP connection can be made from here
  firewall         the agent's proxy
  echo             the demo's HTTPS upstream
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	command, rest := args[0], args[1:]
	if command == "init" { // it sees to its signals itself
		return runInit(rest, stdin, stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch command {
	case "health":
		return initd.Health(ctx, initd.HealthSocket, stdout, stderr)
	case "dial":
		return dial(ctx, rest, stdout, stderr)
	case "firewall":
		return firewall.Main(ctx, rest, stdout, stderr)
	case "echo":
		return echo.Main(ctx, rest, stdin, stdout, stderr)
	case "help", "--help", "-h":
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "bundle: unknown command %q\n%s", command, usage)
	return 2
}

func runInit(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program, err := os.Executable()
	if err == nil && len(args) > 0 {
		err = fmt.Errorf("unexpected argument %q", args[0])
	}
	if err == nil {
		err = initd.Run(context.Background(), initd.Config{
			Daemons: daemons(), Program: program, Env: os.Environ(),
			Gate: initd.GateAddress, HealthSocket: initd.HealthSocket,
			Stdin: stdin, Stdout: stdout, Stderr: stderr,
		})
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle init: %v\n", err)
		return 1
	}
	return 0
}

// daemons are all that init knows; each finds its configuration at its own default.
func daemons() []initd.Daemon {
	return []initd.Daemon{{
		Name: "firewall", Args: []string{"firewall"},
		Health: "http://" + firewall.DefaultListen + "/health", Reload: true,
	}}
}
