// Rules takes the security rules away, one clause at a time, and shows which test notices.
//
// The table is in table/, a file for each rule of docs/security.md: what a clause says, the
// text of our source that makes it, what stands there without it, and the test that must
// fail then. Invariants: the checkout is not touched (go's -overlay shows the compiler
// another file); a test must pass before it may catch anything; what does not build has
// caught nothing; what was not run is printed as skipped, what is not built as open.
//
// It is for Linux, as the bundle's and the guest's programs are. Only what runs in the test's
// own process is changed: programs that a test builds are not.
//
//	go run ./tests/rules              all that needs neither Docker nor a VM
//	go run ./tests/rules -only 4,18.2 rule 4, and the second clause of rule 18
//	go run ./tests/rules -integration everything
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "rules:", err)
		}
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("rules", flag.ContinueOnError)
	only := flags.String("only", "", "`rules` and clauses to try, such as 4,18.2; all by default")
	parallel := flags.Int("parallel", 1, "how many clauses to try at once")
	integration := flags.Bool("integration", false, "try those too that need Docker or a VM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	rules, err := load()
	if err != nil {
		return err
	}
	if rules, err = choose(rules, *only); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "bottle-rules-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	r := &runner{root: ".", work: work, integration: *integration, environ: os.Environ()}
	return r.all(ctx, rules, *parallel, out)
}

// choose keeps what -only names.
func choose(rules []rule, only string) ([]rule, error) {
	if only == "" {
		return rules, nil
	}
	var chosen []rule
	for name := range strings.SplitSeq(only, ",") {
		at := slices.IndexFunc(rules, func(r rule) bool {
			return strconv.Itoa(r.Rule) == name || slices.ContainsFunc(r.Clause, func(c clause) bool { return c.id == name })
		})
		if at < 0 {
			return nil, fmt.Errorf("there is no rule or clause %q", name)
		}
		one := rules[at]
		if strings.Contains(name, ".") {
			one.Open = nil
			one.Clause = slices.DeleteFunc(slices.Clone(one.Clause), func(c clause) bool { return c.id != name })
		}
		chosen = append(chosen, one)
	}
	return chosen, nil
}
