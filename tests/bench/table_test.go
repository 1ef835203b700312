//go:build integration

package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// spread is a set of times.
type spread struct {
	What   string    `json:"what"`
	Millis []float64 `json:"millis"`
}

func (s *spread) add(took time.Duration) {
	s.Millis = append(s.Millis, float64(took.Microseconds())/1000)
}

func (s *spread) median() float64 {
	sorted := slices.Sorted(slices.Values(s.Millis))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (s *spread) String() string {
	return fmt.Sprintf("%s / %s / %s", seconds(slices.Min(s.Millis)), seconds(s.median()), seconds(slices.Max(s.Millis)))
}

func seconds(millis float64) string {
	switch {
	case millis < 10:
		return strconv.FormatFloat(millis, 'f', 3, 64) + " ms"
	case millis < 1000:
		return strconv.FormatFloat(millis, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(millis/1000, 'f', 2, 64) + " s"
}

// result is one line of the table: ours against something.
type result struct {
	Name    string  `json:"name"`
	Ours    spread  `json:"ours"`
	Against spread  `json:"against"`
	Ratio   float64 `json:"ratio"` // of the medians
	Note    string  `json:"note,omitempty"`
	Goal    string  `json:"goal"` // "" for a comparison without a promise, which is always met
	Met     bool    `json:"met"`
}

// report is the whole run.
type report struct {
	Machine string   `json:"machine"`
	Load    string   `json:"load"`
	Results []result `json:"results"`
	// Waterfall is of a warm start.
	Waterfall *waterfall `json:"waterfall,omitempty"`
}

var table report

// goal is a promise about the medians. The zero goal promises nothing.
type goal struct {
	text string
	met  func(ours, against float64) bool
}

// compare measures ours and against in turns, so that a machine that becomes slower does
// so for both. The framework may call a benchmark several times: it is measured once.
func compare(b *testing.B, runs int, ours, against step, g goal) {
	b.Helper()
	if slices.ContainsFunc(table.Results, func(r result) bool { return r.Name == b.Name() }) {
		return
	}
	r := result{Name: b.Name(), Ours: spread{What: ours.what}, Against: spread{What: against.what}, Goal: g.text}
	for range runs {
		r.Ours.add(ours.run(b))
		r.Against.add(against.run(b))
	}
	mine, other := r.Ours.median(), r.Against.median()
	r.Ratio, r.Met = mine/other, g.met == nil || g.met(mine, other)
	table.Results = append(table.Results, r)
	b.ReportMetric(0, "ns/op") // of one call, which says nothing here
	b.ReportMetric(mine, "ms/ours")
	b.ReportMetric(other, "ms/against")
	b.ReportMetric(r.Ratio, "ratio")
}

// note adds to a benchmark's line what else was found.
func note(b *testing.B, text string) {
	b.Helper()
	for i := range table.Results {
		if table.Results[i].Name == b.Name() {
			table.Results[i].Note = text
		}
	}
}

// step does something and says how long the part that counts took.
type step struct {
	what string
	run  func(b *testing.B) time.Duration
}

// timed is a step that counts as a whole.
func timed(what string, do func(b *testing.B)) step {
	return step{what, func(b *testing.B) time.Duration {
		b.Helper()
		begin := time.Now()
		do(b)
		return time.Since(begin)
	}}
}

func (r report) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s; load before and after: %s\nEach cell is minimum / median / maximum; the ratio is that of the medians.\n\n", r.Machine, r.Load)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tOURS\tAGAINST\tRATIO\tGOAL\t")
	for _, line := range r.Results {
		met := line.Goal + ": met"
		switch {
		case line.Goal == "":
			met = "none"
		case !line.Met:
			met = line.Goal + ": MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t\t\t\n", strings.TrimPrefix(line.Name, "Benchmark"), line.Ours.What, line.Against.What)
		fmt.Fprintf(w, "\t%v\t%v\t%.2f\t%s\t\n", &line.Ours, &line.Against, line.Ratio, met)
		if line.Note != "" {
			fmt.Fprintf(w, "\t%s\t\t\t\t\n", line.Note)
		}
	}
	_ = w.Flush()
	if r.Waterfall != nil {
		r.Waterfall.print(out)
	}
}

// save writes the figures to the file that BOTTLE_BENCH_JSON names.
func (r report) save() error {
	path := os.Getenv("BOTTLE_BENCH_JSON")
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// machine describes this one; load is what else it was doing.
func machine() string {
	model := ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s/%s, %d processors (%s), %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cmp.Or(model, "unknown"), runtime.Version())
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

// runs is how often the slow things are measured.
func runs(b *testing.B, usual int) int {
	b.Helper()
	text := os.Getenv("BOTTLE_BENCH_RUNS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("BOTTLE_BENCH_RUNS = %q: want a number from 1", text)
	}
	return n
}
