//go:build linux

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// flagSet parses the flags of one command as clap does.
type flagSet struct {
	*pflag.FlagSet
	app  *App
	text string
}

func (a *App) flags(name, text string) *flagSet {
	set := pflag.NewFlagSet(name, pflag.ContinueOnError)
	set.SetOutput(a.Stderr)
	set.SortFlags = false
	set.Usage = func() {}
	return &flagSet{FlagSet: set, app: a, text: text}
}

// name is the flag that most commands have.
func (f *flagSet) name() *string { return f.StringP("name", "n", "default", "") }

// networkFlags exist in smolvm and open a network device. The stand-in has none.
func networkFlags() []string {
	return []string{
		"--net", "--net-backend", "-p", "--port", "--allow-cidr", "--allow-host",
		"--outbound-localhost-only", "--dns", "--network",
	}
}

// parse handles --help and turns every failure into a usage error.
func (f *flagSet) parse(args []string, positional int) error {
	if err := refuseNetwork(args); err != nil {
		return err
	}
	err := f.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		if err := f.app.print(f.text); err != nil {
			return err
		}
		return exitError(0)
	}
	if err != nil {
		return &usageError{usageText(err)}
	}
	if positional >= 0 && f.NArg() > positional {
		return &usageError{fmt.Sprintf("unexpected argument '%s' found", f.Arg(positional))}
	}
	return nil
}

// refuseNetwork looks at the options only: what follows "--" is the guest's.
func refuseNetwork(args []string) error {
	for _, arg := range args {
		if arg == "--" {
			return nil
		}
		name, _, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(arg, "-p") && !strings.HasPrefix(arg, "--") {
			name = "-p"
		}
		if slices.Contains(networkFlags(), name) {
			return fmt.Errorf("smolvm-lite has no network device: %s is not supported\n"+
				"  mount a socket of the host instead: --mount-socket HOST:GUEST", name)
		}
	}
	return nil
}

func usageText(err error) string {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown):
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			return fmt.Sprintf("unexpected argument '-%s' found", unknown.GetSpecifiedName())
		}
		return fmt.Sprintf("unexpected argument '--%s' found", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Sprintf("a value is required for '%s <VALUE>' but none was supplied", flagName(missing.GetFlag()))
	case errors.As(err, &invalid):
		return fmt.Sprintf("invalid value '%s' for '%s <VALUE>': %v",
			invalid.GetValue(), flagName(invalid.GetFlag()), errors.Unwrap(invalid))
	}
	return err.Error()
}

func flagName(flag *pflag.Flag) string {
	if flag == nil {
		return "--?"
	}
	return "--" + flag.Name
}

// durationValue reads humantime's format: 30s, 5m, 1h30m, 500ms. 0 is refused.
type durationValue time.Duration

func (d *durationValue) String() string { return time.Duration(*d).String() }
func (d *durationValue) Type() string   { return "duration" }

func (d *durationValue) Set(text string) error {
	parsed, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil || strings.ContainsAny(text, "-+.") {
		return errors.New("expected a duration such as 30s, 5m or 1h30m")
	}
	if parsed <= 0 {
		return errors.New("duration must be greater than zero")
	}
	*d = durationValue(parsed)
	return nil
}

// cpuValue is smolvm's u8 without 0.
type cpuValue int

func (c *cpuValue) String() string { return strconv.Itoa(int(*c)) }
func (c *cpuValue) Type() string   { return "cpus" }

func (c *cpuValue) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n == 0 {
		return errors.New("expected a number from 1 to 255")
	}
	*c = cpuValue(n)
	return nil
}

// sizeValue is a number of MiB or GiB, at least min.
type sizeValue struct {
	n, min int
	set    bool
}

func (s *sizeValue) String() string { return strconv.Itoa(s.n) }
func (s *sizeValue) Type() string   { return "size" }

func (s *sizeValue) Set(text string) error {
	const largest = 1 << 24 // of MiB: far more than any host has
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || int(n) < s.min || n > largest {
		return fmt.Errorf("expected a number of at least %d", s.min)
	}
	s.n, s.set = int(n), true
	return nil
}

func (s *sizeValue) pointer() *int {
	if !s.set {
		return nil
	}
	return &s.n
}

// envFlag keeps smolvm's rules: a key without value takes the host's, an unset one and
// an empty key are dropped.
func (a *App) expandEnv(specs []string) []string {
	env := []string{}
	for _, spec := range specs {
		key, _, hasValue := strings.Cut(spec, "=")
		switch {
		case key == "":
		case hasValue:
			env = append(env, spec)
		default:
			if value := a.Getenv(key); value != "" {
				env = append(env, key+"="+value)
			}
		}
	}
	return env
}
