package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// all tries every clause, prints a line for each as it ends, and fails unless each was
// caught, skipped, or known to be open.
func (r *runner) all(ctx context.Context, rules []rule, parallel int, out io.Writer) error {
	var mu sync.Mutex
	count := map[verdict]int{}
	report := func(id, says string, o outcome) {
		mu.Lock()
		defer mu.Unlock()
		count[o.verdict]++
		fmt.Fprintln(out, line(id, says, o))
	}
	fmt.Fprintf(out, "%-6s %-72s %-9s %5s  %s\n", "rule", "clause that was taken away", "", "s", "by")
	group := errgroup.Group{}
	group.SetLimit(max(1, parallel))
	for _, one := range rules {
		for _, c := range one.Clause {
			group.Go(func() error {
				if ctx.Err() == nil {
					report(c.id, c.Says, r.try(ctx, c))
				}
				return nil
			})
		}
		group.Go(func() error {
			for _, gap := range one.Open {
				report(fmt.Sprintf("%d", one.Rule), gap.Says, outcome{verdict: openGap, detail: gap.Why})
			}
			return nil
		})
	}
	_ = group.Wait()
	fmt.Fprintf(out, "\n%d caught, %d survived, %d broken, %d skipped, %d open\n",
		count[caught], count[survived], count[broken], count[skipped], count[openGap])
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case count[survived]+count[broken] > 0:
		return fmt.Errorf("%d clauses are not shown by their test", count[survived]+count[broken])
	case count[caught] == 0:
		return errors.New("nothing was tried")
	}
	return nil
}

func line(id, says string, o outcome) string {
	text := fmt.Sprintf("%-6s %-72s %-9s %5.1f  %s", id, says, o.verdict, o.took.Seconds(), o.detail)
	return strings.ReplaceAll(text, "\n", " ")
}
