//go:build linux

// Command bottle-guest is the one program of ours inside the agent's VM: it forwards
// loopback ports to the sockets that the host mounted, and it starts commands.
//
//   - serve: the machine's root workload.
//   - exec: runs one command as root or as the agent and reports its exit code in a
//     frame that carries the host's nonce.
//   - winsize: resizes the terminal of a running exec session.
//   - provision: proves that the daemon behind a port answers, and then receives what
//     goes into the machine.
//   - unpack, pack: receive the workspace and send what the agent changed in it.
//   - health: asks the daemon behind a port whether it is well, for people.
//
// The environment of a command comes from a root-only file, never from a command
// line. The VM is the boundary, not the uid: a command may gain privileges through
// setuid programs of the image (no_new_privs stays off), so that sudo and ping work.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"bottle.internal/internal/guest/receive"
	"bottle.internal/internal/guestapi"
)

// Exit codes of bottle-guest itself. The last two come in a frame, as in a shell.
const (
	exitUsage   = 2
	exitSelf    = 125 // bottle-guest failed, not the command; no frame is printed
	exitNotExec = 126
	exitMissing = 127
)

const usage = `usage:
  bottle-guest serve
  bottle-guest exec --nonce N --user agent|root --workdir DIR [--session S] [--term T]
                    [--rows N --cols N] -- COMMAND [ARG...]
  bottle-guest winsize SESSION ROWS COLS
  bottle-guest provision --nonce N PORT < PROBES-AND-ARCHIVE
  bottle-guest probe --nonce N PORT < PROBES
  bottle-guest unpack < STREAM
  bottle-guest pack < REQUEST > STREAM
  bottle-guest health PORT
`

func main() {
	os.Exit(run(os.Args[1:], theMachine(), os.Stderr))
}

// machine says where things are, so that tests can have their own.
type machine struct {
	envFile, sessionDir, socketDir string
	rescan                         time.Duration
	accounts                       map[string]account
	place                          receive.Place
	patience                       time.Duration // with a daemon that does not answer yet
}

// account is a user that commands run as.
type account struct {
	name     string
	uid, gid int
	home     string
}

func theMachine() machine {
	return machine{
		envFile: guestapi.EnvFile, sessionDir: guestapi.SessionDir, socketDir: guestapi.RunDir,
		rescan: 200 * time.Millisecond, place: receive.Place{Root: "/"}, patience: healthPatience,
		accounts: map[string]account{
			guestapi.RootUser:  {guestapi.RootUser, 0, 0, "/root"},
			guestapi.AgentUser: {guestapi.AgentUser, guestapi.AgentUID, guestapi.AgentGID, guestapi.AgentHome},
		},
	}
}

// usageError is a wrong command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func run(args []string, m machine, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	var (
		code int
		err  error
	)
	switch command {
	case "serve":
		err = serveCommand(args, m, stderr)
	case "exec":
		code, err = execCommand(args, m, stderr)
	case "winsize":
		err = winsizeCommand(args, m)
	case "provision":
		code, err = provisionCommand(args, m, stderr)
	case "probe":
		err = probeCommand(args, m)
	case "unpack":
		err = unpackCommand(args)
	case "pack":
		err = packCommand(args)
	case "health":
		err = health(args, m.patience)
	case "":
		err = usageError{"no command given"}
	default:
		err = usageError{fmt.Sprintf("unknown command %q", command)}
	}
	if err == nil {
		return code
	}
	fmt.Fprintf(stderr, "bottle-guest: %v\n", err)
	if errors.As(err, &usageError{}) {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	return exitSelf
}

// newFlags makes a strict flag set whose errors we print ourselves.
func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}
