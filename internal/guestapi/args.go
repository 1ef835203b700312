package guestapi

import "strconv"

// ExecOptions describe one command that bottle-guest runs.
type ExecOptions struct {
	Nonce   Nonce
	User    string   // AgentUser or RootUser
	Workdir string   // absolute
	Command []string // at least the program

	// For a terminal only.
	Session    string // name for WinsizeArgs; empty: the size cannot be changed later
	Term       string // value of TERM; empty: as the VM tool sets it
	Rows, Cols uint16 // the first size; 0: leave it
}

// ExecArgs is the command line in the guest, program first. It carries no value of
// the environment: bottle-guest reads those from EnvFile.
func ExecArgs(o ExecOptions) []string {
	args := []string{
		Program, "exec", "--nonce", string(o.Nonce), "--user", o.User, "--workdir", o.Workdir,
	}
	if o.Session != "" {
		args = append(args, "--session", o.Session)
	}
	if o.Term != "" {
		args = append(args, "--term", o.Term)
	}
	if o.Rows != 0 && o.Cols != 0 {
		args = append(args, "--rows", decimal(o.Rows), "--cols", decimal(o.Cols))
	}
	return append(append(args, "--"), o.Command...)
}

// WinsizeArgs is the command line in the guest that resizes a session's terminal.
func WinsizeArgs(session string, rows, cols uint16) []string {
	return []string{Program, "winsize", session, decimal(rows), decimal(cols)}
}

// ServeArgs is the root workload of the machine.
func ServeArgs() []string { return []string{Program, "serve"} }

// UnpackArgs is the command line in the guest that receives the workspace, as root.
func UnpackArgs() []string { return []string{Program, "unpack"} }

// PackArgs is the command line in the guest that sends what changed, as root.
func PackArgs() []string { return []string{Program, "pack"} }

func decimal(n uint16) string { return strconv.Itoa(int(n)) }

// ProvisionArgs is the command line in the guest that proves the way to a port and then
// receives what goes into the machine, all of it as root.
func ProvisionArgs(nonce Nonce, port uint16) []string {
	return []string{Program, "provision", "--nonce", string(nonce), decimal(port)}
}

// freshScript runs the program that comes first on stdin, and not the one that is there.
const freshScript = `umask 077; f=$(mktemp /run/bottle/fresh.XXXXXX) || exit 125; n=$1; shift; head -c "$n" >"$f" && chmod 700 "$f" && "$f" "$@"; code=$?; rm -f "$f"; exit $code`

// FreshArgs is args of bottle-guest, but run by a program of so many bytes that the caller
// sends on stdin before all else. Who was root in the guest could have changed the one that
// is there; its kernel and its shell stay the guest's own.
func FreshArgs(size int, args []string) []string {
	return append([]string{"/bin/sh", "-c", freshScript, "sh", strconv.Itoa(size)}, args[1:]...)
}

// ProbeArgs is ProvisionArgs without provisioning.
func ProbeArgs(nonce Nonce, port uint16) []string {
	return []string{Program, "probe", "--nonce", string(nonce), decimal(port)}
}
