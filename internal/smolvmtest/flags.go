package smolvmtest

import (
	"fmt"
	"slices"
	"strings"

	"bottle.internal/pkg/smolvm"
)

// flag is one option of a subcommand, in the releases from since on.
type flag struct {
	names []string // "--cpus", "-c"
	bare  bool     // takes no value
	since string
}

// spec is the command line of one subcommand in one release.
type spec struct {
	flags      []flag
	positional int  // how many bare arguments it takes
	rest       bool // everything after the first bare argument, or after --, is the guest's
}

func opt(names ...string) flag      { return flag{names: names} }
func boolean(names ...string) flag  { return flag{names: names, bare: true} }
func (f flag) from(v string) flag   { f.since = v; return f }
func (f flag) known(v version) bool { return v.atLeast(f.since) }

// version answers what the fake's release has.
type version struct{ smolvm.Version }

func (v version) atLeast(text string) bool {
	other, _ := smolvm.ParseVersion(text) // "" is 0.0.0
	return v.Compare(other) >= 0
}

// specOf is the flag table of the contract, section 1.
func specOf(subcommand string, v version) (spec, bool) {
	name := opt("--name", "-n")
	named := spec{flags: []flag{name.from("1.0.2")}}
	if !v.atLeast("1.0.2") {
		named.positional = 1
	}
	switch subcommand {
	case "machine create":
		named.flags = append(named.flags, createFlags()...)
		named.rest = v.atLeast("1.0.0")
		return named, true
	case "machine delete":
		named.flags = append(named.flags, boolean("--force", "-f"), boolean("--cascade").from("1.7.0"))
		return named, true
	case "machine start":
		return spec{flags: []flag{name, opt("--proxy").from("0.8.1"), opt("--no-proxy").from("0.8.1"), boolean("--forkable").from("1.0.0")}}, true
	case "machine stop":
		return spec{flags: []flag{name}}, true
	case "machine data-dir":
		return named, true
	case "machine status":
		return spec{flags: []flag{name, boolean("--json")}}, true
	case "machine ls", "machine list":
		return spec{flags: []flag{boolean("--verbose", "-v"), boolean("--json")}}, true
	case "machine cp":
		return spec{positional: 2, flags: []flag{opt("--mode").from("1.9.0"), opt("--uid").from("1.9.0"), opt("--gid").from("1.9.0")}}, true
	case "machine exec":
		return spec{rest: true, flags: []flag{
			opt("--name"), opt("--workdir", "-w"), opt("--env", "-e"), opt("--timeout"), boolean("--interactive", "-i"),
			boolean("--tty", "-t"), boolean("--stream"), boolean("--detach", "-d").from("1.3.0"),
		}}, true
	case "pack create":
		return spec{flags: []flag{
			opt("--image", "-I"), opt("--from-vm"), opt("--output", "-o"), opt("--cpus"), opt("--mem"), opt("--oci-platform"),
			opt("--entrypoint"), boolean("--no-sign"), boolean("--single-file"), boolean("--gpu"),
			opt("--proxy").from("0.8.1"), opt("--no-proxy").from("0.8.1"), opt("--staging-dir").from("1.2.0"),
		}}, true
	}
	return spec{}, false
}

func createFlags() []flag {
	return []flag{
		opt("--image", "-I"), opt("--from"), opt("--smolfile", "-s"), opt("--cpus"), opt("--mem"), opt("--storage"), opt("--overlay"),
		opt("--volume", "-v"), opt("--port", "-p"), boolean("--net"), opt("--net-backend"), opt("--allow-cidr"), opt("--allow-host"),
		boolean("--outbound-localhost-only"), boolean("--gpu"), opt("--init"), opt("--env", "-e"), opt("--workdir", "-w"),
		boolean("--ssh-agent"), opt("--expose-socket").from("1.6.4"), opt("--mount-socket").from("1.6.4"),
		opt("--label").from("1.8.0"), opt("--network").from("1.8.3"), opt("--dns").from("1.2.5"),
	}
}

// Parse reads a command line as the given release does: options under their long name,
// bare arguments, and what is the guest's.
func Parse(release string, args []string) (options map[string][]string, bare, guest []string, err error) {
	number, err := smolvm.ParseVersion(release)
	if err != nil {
		return nil, nil, nil, err
	}
	known, ok := specOf(subcommandOf(args), version{number})
	if !ok {
		return nil, nil, nil, fmt.Errorf("unrecognized subcommand %q", args)
	}
	line, err := known.parse(args[2:], version{number})
	return line.values, line.positional, line.rest, err
}

// parsed is a command line taken apart. Options are under their long name.
type parsed struct {
	values     map[string][]string
	positional []string
	rest       []string
}

func (p parsed) has(name string) bool { return len(p.values[name]) > 0 }

func (p parsed) last(name string) string {
	if list := p.values[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

// parse does what clap does: a value never begins with a dash, unless written -x=VALUE.
func (s spec) parse(args []string, v version) (parsed, error) {
	out := parsed{values: map[string][]string{}}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--" && s.rest:
			out.rest = args[i+1:]
			return out, nil
		case strings.HasPrefix(arg, "-") && arg != "-":
			name, value, inline := strings.Cut(arg, "=")
			found := slices.IndexFunc(s.flags, func(f flag) bool { return f.known(v) && slices.Contains(f.names, name) })
			if found < 0 {
				return out, fmt.Errorf("unexpected argument '%s' found", name)
			}
			f := s.flags[found]
			if !f.bare && !inline {
				i++
				if i == len(args) || strings.HasPrefix(args[i], "-") && args[i] != "-" {
					return out, fmt.Errorf("a value is required for '%s' but none was supplied", name)
				}
				value = args[i]
			}
			out.values[f.names[0]] = append(out.values[f.names[0]], value)
		case len(out.positional) < s.positional:
			out.positional = append(out.positional, arg)
		case s.rest && s.positional == 0:
			out.rest = args[i:]
			return out, nil
		default:
			return out, fmt.Errorf("unexpected argument '%s' found", arg)
		}
	}
	return out, nil
}
