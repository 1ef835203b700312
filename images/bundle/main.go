//go:build linux

// Command bundle is every program of the bundle's image in one static file.
//
// `bundle init` is PID 1 and runs the daemons, which are the same program again. `bundle
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

	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/initd"
	"bottle.internal/internal/supervise"
)

const usage = `usage: bundle COMMAND

  init             run the daemons (PID 1 of the container)
  health           ask init whether every daemon answers
  dial HOST:PORT   tell whether a TCP connection can be made from here; several at once
  echo             the demo's upstream

  serve DAEMON, relay GATE-ADDRESS PORT PORT..., sealed ALIVE-ADDRESS PORT GATE-ADDRESS PORT
                   the containers of a cluster (bottle render kubernetes)

init runs the daemons: gate, egress, firewall, git-gate, supervise
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
	case "echo":
		return echo.Main(ctx, rest, stdin, stdout, stderr)
	case "git-dial": // the way of the git gate's ssh
		return gitgate.DialMain(ctx, rest, stdin, stdout, stderr)
	case "help", "--help", "-h":
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if known, err := inCluster(ctx, command, rest, stdout); known {
		return ended(stderr, command, err)
	}
	if daemon, ok := programs()[command]; ok && len(rest) == 0 {
		return ended(stderr, command, runDaemon(ctx, daemon, stdout))
	}
	_, _ = fmt.Fprintf(stderr, "bundle: unknown command %q\n%s", command, usage)
	return 2
}

// ended is the exit code of a command.
func ended(stderr io.Writer, command string, err error) int {
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle %s: %v\n", command, err)
		return 1
	}
	return 0
}

func runInit(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program, err := os.Executable()
	if err == nil && len(args) > 0 {
		err = fmt.Errorf("unexpected argument %q", args[0])
	}
	if err == nil {
		err = initd.Confined()
	}
	if err == nil {
		err = initd.Run(context.Background(), initd.Config{
			Daemons: all(), Program: program, Env: os.Environ(),
			HealthSocket: initd.HealthSocket,
			Stdin:        stdin, Stdout: stdout, Stderr: stderr,
		})
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle init: %v\n", err)
		return 1
	}
	return 0
}

// programs are the daemons' code by name.
func programs() map[string]program {
	return map[string]program{
		daemons.Gate: func(ctx context.Context, channel *control.Daemon, _ io.Writer) error {
			return gate.Run(ctx, channel, gate.Listen)
		},
		daemons.Egress: func(ctx context.Context, channel *control.Daemon, log io.Writer) error {
			return egress.Run(ctx, channel, log)
		},
		daemons.Firewall: func(ctx context.Context, channel *control.Daemon, log io.Writer) error {
			return runFirewall(ctx, channel, log)
		},
		daemons.GitGate: func(ctx context.Context, channel *control.Daemon, log io.Writer) error {
			return gitgate.Run(ctx, channel, log)
		},
		daemons.Supervise: func(ctx context.Context, channel *control.Daemon, log io.Writer) error {
			return supervise.Run(ctx, channel, log)
		},
	}
}

// healthOf says how init finds out that a daemon is well.
func healthOf(name string) string {
	return map[string]string{
		daemons.Gate:      "tcp://127.0.0.1:7070",
		daemons.Egress:    "http://127.0.0.2:9080/health",
		daemons.Firewall:  "http://" + firewall.DefaultListen + "/health",
		daemons.GitGate:   "http://" + gitgate.DefaultListen + "/health",
		daemons.Supervise: "http://" + supervise.DefaultListen + "/health",
	}[name]
}

// all are the daemons as init knows them.
func all() []initd.Daemon {
	var list []initd.Daemon
	for _, d := range daemons.All() {
		if _, ok := programs()[d.Name]; ok {
			list = append(list, initd.Daemon{Name: d.Name, Args: []string{d.Name}, UID: d.UID, Health: healthOf(d.Name)})
		}
	}
	return list
}
