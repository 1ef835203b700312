// Package cli is the command line: it parses flags, asks the questions, prints what
// internal/app answers and turns errors into messages and exit codes.
//
// Invariants: stdout is the answer and nothing else; everything else goes to stderr;
// an error is one problem line and hint lines that can be typed; exit codes are 0, 1,
// 2 for usage, 130 after an interrupt, and the guest's own for start, exec and shell.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Streams are the process's own.
type Streams struct {
	Stdin  *os.File
	Stdout io.Writer
	Stderr io.Writer
}

// command is one verb. Its set func declares flags and returns what runs after parsing.
type command struct {
	name    string
	args    string // for the usage line
	summary string
	help    string // examples and explanations below the flags
	setup   func(*pflag.FlagSet) func(context.Context, *session) error
}

// session is what a verb works with.
type session struct {
	Streams
	app   *app.App
	args  []string // without flags
	typed []string // the whole command line
	plain bool     // no colours and no live lines, even on a terminal
	raw   bool     // what a guest prints is not filtered
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// again is the command line as it was typed, with one more flag, for a shell.
func (s *session) again(flag string) string {
	return commandLine(s.typed) + " " + flag
}

// instead is the command line as it was typed, with another argument for a wrong one, or
// for none; "" if the wrong one was not typed.
func (s *session) instead(wrong, right string) string {
	words := slices.Clone(s.typed)
	if wrong == "" && len(s.args) == 0 {
		return commandLine(append(words, right))
	}
	for at := len(words) - 1; at > 0; at-- {
		if words[at] == wrong {
			words[at] = right
			return commandLine(words)
		}
	}
	return ""
}

// commandLine is a command line of bottle's for a shell.
func commandLine(words []string) string {
	line := []string{"bottle"}
	for _, word := range words {
		line = append(line, shellWord(word))
	}
	return strings.Join(line, " ")
}

// shellWord is one word for a shell.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func commands() []command {
	return []command{
		initCommand(), startCommand(), attachCommand(), resumeCommand(), execCommand(), shellCommand(), listCommand(), logsCommand(), inspectCommand(),
		stopCommand(), cleanupCommand(), copyOutCommand(), verifyCommand(), superviseCommand(), auditCommand(), planCommand(), whyCommand(), renderCommand(), overseeCommand(),
		imagesCommand(), sbomCommand(), baseCommand(), updateCommand(), signCommand(), setupCommand(), doctorCommand(), cleanCommand(), completionCommand(), manCommand(), schemaCommand(), versionCommand(),
	}
}

// Run runs one command line and returns the exit code. environ and dir stand for the
// process's environment and working directory, so that mage can be a front door too.
func Run(ctx context.Context, streams Streams, config app.Config, args []string) int {
	// Mage knows only ^C; `bottle stop` and a closing terminal ask in these ways. Nobody
	// closes the terminal of a detached owner.
	asks := []os.Signal{syscall.SIGTERM, syscall.SIGHUP}
	if len(args) > 0 && args[0] == app.OwnVerb {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		asks = asks[:1]
	}
	ctx, stop := signal.NotifyContext(ctx, asks...)
	defer stop()
	defer survivePipes()()
	err := run(ctx, streams, config, args)
	if errors.Is(err, pflag.ErrHelp) {
		return exitOK
	}
	return report(streams.Stderr, err)
}

func run(ctx context.Context, streams Streams, config app.Config, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(streams.Stderr, overview())
		return &usageError{text: "which command?"}
	}
	if slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
			return run(ctx, streams, config, []string{args[1], "--help"})
		}
		fmt.Fprint(streams.Stdout, overview())
		return nil
	}
	switch args[0] {
	case completeVerb:
		complete(ctx, streams.Stdout, config, args[1:])
		return nil
	case app.OwnVerb:
		return own(ctx, streams, config)
	}
	for _, c := range commands() {
		if c.name == args[0] || args[0] == "--version" && c.name == "version" {
			return c.run(ctx, streams, config, args[1:])
		}
	}
	return noCommand(args[0])
}

func (c command) run(ctx context.Context, streams Streams, config app.Config, args []string) error {
	flags, verb := c.flags(&config)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			fmt.Fprint(streams.Stdout, c.usage(flags))
			return err
		}
		return &usageError{text: err.Error(), hints: []string{"bottle " + c.name + " --help"}}
	}
	if config.Events == nil {
		sink, done, err := sinks(streams, flags, plain(config.Environ))
		if err != nil {
			return err
		}
		defer done()
		config.Events = sink
	}
	if config.Ask == nil {
		config.Ask = (&session{Streams: streams}).askSecret
	}
	application, err := app.New(config)
	if err != nil {
		return err
	}
	s := &session{Streams: streams, app: application, args: flags.Args(), typed: append([]string{c.name}, args...), plain: plain(config.Environ)}
	err = verb(ctx, s)
	if unknown := (*plan.UnknownAgentError)(nil); errors.As(err, &unknown) {
		unknown.Hint = s.instead(unknown.Asked, unknown.Likely())
	}
	if usage := (*usageError)(nil); errors.As(err, &usage) && len(usage.hints) == 0 {
		usage.hints = []string{"bottle " + c.name + " --help"}
	}
	return err
}

// flags declares the flags of a verb, and returns what runs after parsing.
func (c command) flags(config *app.Config) (*pflag.FlagSet, func(context.Context, *session) error) {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SetInterspersed(c.name != "exec") // what follows the identity is the guest's
	flags.StringVar(&config.Manifest, "manifest", config.Manifest, "the `file` with bottles and agents")
	return flags, c.setup(flags)
}

func (c command) synopsis() string {
	return strings.TrimSpace("bottle " + c.name + " [flags] " + c.args)
}

func (c command) usage(flags *pflag.FlagSet) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n\nusage: %s\n\n%s", c.summary, c.synopsis(), flags.FlagUsages())
	if c.help != "" {
		fmt.Fprintf(&text, "\n%s\n", strings.Trim(c.help, "\n"))
	}
	return text.String()
}

func overview() string {
	var text strings.Builder
	text.WriteString("bottle runs an AI coding agent in a microVM without a network device.\n\nusage: bottle COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&text, "  %-10s %s\n", c.name, c.summary)
	}
	text.WriteString("\nMore: bottle COMMAND --help\n")
	return text.String()
}

// one returns the only argument, or a usage error that says what is missing.
func (s *session) one(what string) (string, error) {
	switch len(s.args) {
	case 1:
		return s.args[0], nil
	case 0:
		return "", &usageError{text: "which " + what + "?"}
	default:
		return "", &usageError{text: fmt.Sprintf("one %s at a time, not %d", what, len(s.args))}
	}
}

func (s *session) none() error {
	if len(s.args) > 0 {
		return &usageError{text: fmt.Sprintf("unexpected argument %q", printable.SafeText(s.args[0]))}
	}
	return nil
}
