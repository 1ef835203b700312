package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/workspace/listing"
)

// workspaceOptions are the flags of start that copy a directory in and out.
type workspaceOptions struct {
	dir       string
	include   []string
	history   string
	out       bool
	sensitive bool
	skip      bool
	full      bool
}

func workspaceFlags(flags *pflag.FlagSet) *workspaceOptions {
	var o workspaceOptions
	flags.StringVar(&o.dir, "copy-in", "", "copy this `directory` into the bottle")
	flags.StringArrayVar(&o.include, "include", nil, "with --copy-in: copy credentials that match this `glob` too")
	flags.StringVar(&o.history, "copy-in-history", listing.HistoryHead, "with --copy-in: the commits that go in, head or none")
	flags.BoolVar(&o.out, "copy-out", false, "with --copy-in: at the end show what changed, ask, and apply it")
	flags.BoolVar(&o.sensitive, "include-sensitive", false, "with --copy-out --yes: also editor settings, hooks, new executables")
	flags.BoolVar(&o.skip, "skip-conflicts", false, "with --copy-out: apply the rest where the host has changed a file")
	flags.BoolVar(&o.full, "full", false, "with --copy-out: show all of a long diff")
	return &o
}

// request checks the flags. Nobody should find out after hours of work that there is no
// terminal to ask on.
func (o *workspaceOptions) request(s *session, answered bool) (*app.WorkspaceRequest, error) {
	switch {
	case o.history != listing.HistoryHead && o.history != listing.HistoryNone:
		return nil, &usageError{text: fmt.Sprintf("--copy-in-history=%q: head or none", o.history)}
	case o.dir == "" && (o.out || len(o.include) > 0):
		return nil, &usageError{text: "--copy-out and --include go with --copy-in", hints: []string{s.again("--copy-in .")}}
	case o.dir == "" && o.history != listing.HistoryHead:
		return nil, &usageError{text: "--copy-in-history goes with --copy-in", hints: []string{s.again("--copy-in .")}}
	case !o.out && (o.sensitive || o.skip || o.full):
		return nil, &usageError{text: "--include-sensitive, --skip-conflicts and --full go with --copy-out", hints: []string{"bottle start --help"}}
	case o.dir == "":
		return nil, nil //nolint:nilnil // no workspace
	case o.out && !answered && !s.interactive():
		return nil, &usageError{text: "--copy-out needs a terminal to ask on, or --yes", hints: []string{s.again("--yes")}}
	}
	return &app.WorkspaceRequest{Dir: o.dir, Include: o.include, History: o.history, CopyOut: o.out}, nil
}

func (o *workspaceOptions) copyOutOptions(yes bool) copyOutOptions {
	return copyOutOptions{yes: yes, full: o.full, sensitive: o.sensitive, skipConflicts: o.skip, format: formatText}
}
