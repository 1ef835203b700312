//go:build integration

package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/tests/integration/rig"
)

// bar is one part of a start: when it began and ended, in milliseconds since the command
// was typed. Each is the median of several starts.
type bar struct {
	What  string  `json:"what"`
	Begin float64 `json:"begin"`
	End   float64 `json:"end"`
}

// waterfall is a start of bottle above the same by hand.
type waterfall struct {
	Ours   []bar `json:"ours"`
	ByHand []bar `json:"by_hand"`
}

// BenchmarkWaterfall shows where the time of a warm start goes, from the events of
// `bottle start --events`. Its picture goes to the file that BOTTLE_BENCH_SVG names.
func BenchmarkWaterfall(b *testing.B) {
	r := prepared(b)
	pack := artifact(b, r)
	if table.Waterfall != nil {
		return
	}
	var ours, byHand [][]bar
	for n := range runs(b, 7) {
		ours = append(ours, observedStart(b, r, n))
		byHand = append(byHand, observedByHand(b, r, pack, n))
	}
	table.Waterfall = &waterfall{medians(ours), medians(byHand)}
	if path := os.Getenv("BOTTLE_BENCH_SVG"); path != "" {
		if err := os.WriteFile(path, table.Waterfall.svg(machine()), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// observedStart is one start of an agent that says a word.
func observedStart(b *testing.B, r *rig.Rig, n int) []bar {
	b.Helper()
	events := filepath.Join(r.Dir, fmt.Sprintf("events-%d.jsonl", n))
	begin := time.Now()
	word := spoken(b, begin, execx.Cmd{
		Path: r.Bottle, Args: []string{"start", "bench-word", "--yes", "--events", events}, Env: r.Env, Dir: r.Dir,
	})
	end := time.Since(begin)
	text, err := os.ReadFile(events)
	if err != nil {
		b.Fatal(err)
	}
	bars, err := barsOf(text, begin, word, end)
	if err != nil {
		b.Fatal(err)
	}
	return bars
}

// barsOf reads the events of one start.
func barsOf(events []byte, begin time.Time, word, end time.Duration) ([]bar, error) {
	at := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(events))
	for lines.Scan() {
		var e event.Timed
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		at[e.Step+" "+string(e.Kind)] = millis(e.Time.Sub(begin))
	}
	for _, needed := range []string{"boot start", "boot done", "bundle start", "bundle done", "proof info", "provision info"} {
		if _, ok := at[needed]; !ok {
			return nil, errors.New("no event: " + needed)
		}
	}
	return []bar{
		{"plan", 0, min(at["boot start"], at["bundle start"])},
		{"bundle", at["bundle start"], at["bundle done"]},
		{"boot", at["boot start"], at["boot done"]},
		{"proof", at["boot done"], at["proof info"]},
		{"provision", at["proof info"], at["provision info"]},
		{"agent", at["provision info"], millis(word)},
		{"teardown", millis(word), millis(end)},
	}, nil
}

// observedByHand is the same machine made with the VM tool alone.
func observedByHand(b *testing.B, r *rig.Rig, pack string, n int) []bar {
	b.Helper()
	name, begin := fmt.Sprintf("bottle-bench-bars-%d", n), time.Now()
	var bars []bar
	step := func(what string, args ...string) {
		from := millis(time.Since(begin))
		vm(b, r, append([]string{"machine", what, "--name", name}, args...)...)
		bars = append(bars, bar{what, from, millis(time.Since(begin))})
	}
	step("create", "--from", pack, "--cpus", "2", "--mem", "1024", "--overlay", "10")
	step("start")
	step("exec", "-i", "--", "echo", "word")
	step("delete", "--force")
	return bars
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// medians of the same bars of several runs.
func medians(all [][]bar) []bar {
	result := slices.Clone(all[0])
	for i := range result {
		var begin, end spread
		for _, bars := range all {
			begin.Millis, end.Millis = append(begin.Millis, bars[i].Begin), append(end.Millis, bars[i].End)
		}
		result[i].Begin, result[i].End = begin.median(), end.median()
	}
	return result
}

func (w *waterfall) print(out io.Writer) {
	fmt.Fprintln(out, "\nA warm start, medians in milliseconds from the moment it was typed:")
	lines := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, part := range []struct {
		who  string
		bars []bar
	}{{"bottle start", w.Ours}, {"by hand", w.ByHand}} {
		for _, one := range part.bars {
			fmt.Fprintf(lines, "%s\t%s\t%.0f\t%.0f\t\n", part.who, one.What, one.Begin, one.End)
		}
	}
	_ = lines.Flush()
}

const (
	rowHeight, labelWidth, chartWidth = 22, 90, 560
	headHeight                        = 30
)

// svg draws the bars to one scale.
func (w *waterfall) svg(where string) []byte {
	end := max(w.Ours[len(w.Ours)-1].End, w.ByHand[len(w.ByHand)-1].End)
	var out bytes.Buffer
	height := headHeight + (len(w.Ours)+len(w.ByHand)+2)*rowHeight + rowHeight
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		labelWidth+chartWidth+70, height)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" fill="#fff"/><text x="8" y="18" font-size="11" fill="#555">%s</text>`+"\n", html.EscapeString(where))
	y := headHeight
	for _, part := range []struct {
		who, colour string
		bars        []bar
	}{{"bottle start", "#2f6f9f", w.Ours}, {"by hand, with the VM tool alone", "#9a9a9a", w.ByHand}} {
		fmt.Fprintf(&out, `<text x="8" y="%d" font-weight="bold">%s</text>`+"\n", y+15, part.who)
		y += rowHeight
		for _, one := range part.bars {
			x, width := one.Begin/end*chartWidth, max(1, (one.End-one.Begin)/end*chartWidth)
			fmt.Fprintf(&out, `<text x="8" y="%d">%s</text><rect x="%.1f" y="%d" width="%.1f" height="14" fill="%s"/><text x="%.1f" y="%d" font-size="11">%s</text>`+"\n",
				y+15, one.What, labelWidth+x, y+4, width, part.colour, labelWidth+x+width+4, y+15, strings.TrimSpace(seconds(one.End-one.Begin)))
			y += rowHeight
		}
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}
