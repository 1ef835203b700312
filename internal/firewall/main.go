package firewall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/pflag"
)

// DefaultListen is where the bundle's gate finds the firewall.
const DefaultListen = "127.0.0.1:8888"

// DefaultConfig is the config directory inside the bundle.
const DefaultConfig = "/etc/bottle"

// Main is the program `bundle firewall`. It serves until ctx ends and returns the exit
// code: 0, 1 for a config that it does not understand or a busy port, 2 for usage. The
// log goes to stdout, problems to stderr. SIGHUP reads the config again; one that is not
// understood then leaves the old policy in force and is logged.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	options, code := parseArgs(args, stderr)
	if code >= 0 {
		return code
	}
	if err := run(ctx, options, stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle firewall: %v\n", err)
		return 1
	}
	return 0
}

type options struct{ config, listen string }

// parseArgs answers with a code of -1 to go on.
func parseArgs(args []string, stderr io.Writer) (options, int) {
	var o options
	flags := pflag.NewFlagSet("bundle firewall", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.config, "config", DefaultConfig, "directory of pipelock.yaml and routes.json")
	flags.StringVar(&o.listen, "listen", DefaultListen, "loopback address to listen on")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return o, 0
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err == nil {
		err = checkListen(o.listen)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle firewall: %v\n", err)
		return o, 2
	}
	return o, -1
}

// checkListen keeps the firewall behind the gate: it has no key of its own.
func checkListen(listen string) error {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil || !addr.Addr().IsLoopback() {
		return fmt.Errorf("--listen %q: only a loopback address and port, such as %s", listen, DefaultListen)
	}
	return nil
}

func run(ctx context.Context, o options, stdout io.Writer) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // first: it would end a program that does not listen yet
	defer signal.Stop(hup)
	policy, err := loadDir(o.config)
	if err != nil {
		return err
	}
	server, err := NewServer(Config{Policy: policy, Log: stdout})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", o.listen, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	reloads.Go(func() { server.reloadOn(ctx, hup, o.config) })
	err = server.Serve(ctx, listener)
	cancel()
	reloads.Wait()
	return err
}

func (s *Server) reloadOn(ctx context.Context, hup <-chan os.Signal, dir string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			policy, err := loadDir(dir)
			if err == nil {
				err = s.Reload(policy)
			}
			if err != nil {
				s.journal.write(line{Event: eventReload, Problem: printable(err.Error(), 400)})
				continue
			}
			s.journal.write(line{Event: eventReload, Routes: s.routes()})
		}
	}
}

// loadDir reads through an [os.Root], so that no link leads out of the directory.
func loadDir(dir string) (Policy, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Policy{}, fmt.Errorf("opening the config directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	return Load(root.FS())
}
