package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The picture of a run, in units of its own: a browser scales it.
const (
	chartLeft  = 116.0
	chartRight = 990.0
	chartTop   = 14.0
	laneHeight = 42.0
	markHeight = 18.0
	markRows   = 2
)

type picture struct {
	Label             string
	Height            int
	Top, Bottom, Foot string // of the times, and where the lines end
	Lanes             []painted
	Times, Marks      []note
}

type painted struct {
	Name     Text
	Title    string
	Y, TextY string
	Paths    []path
}

type path struct {
	Class Class
	D     string
}

type note struct{ X, Y, DX, Anchor, Name string }

func paint(r Run) picture {
	top := chartTop + markHeight*float64(min(markRows, len(r.Marks)))
	bottom := top + laneHeight*float64(len(r.Lanes))
	p := picture{
		Top:    num(top),
		Height: int(bottom + 26), Bottom: num(bottom + 18), Foot: num(bottom + 4),
		Label: fmt.Sprintf("What each part of the bottle did in %s. The tables below say the same in words.", span(r.Span)),
	}
	for i, lane := range r.Lanes {
		p.Lanes = append(p.Lanes, paintLane(lane, top+laneHeight*(float64(i)+0.5)))
	}
	step := niceStep(r.Span)
	for i := range int64(r.Span/step) + 1 { // a sum could overflow
		at := step * time.Duration(i)
		anchor := "middle"
		if at == 0 {
			anchor = "start"
		}
		p.Times = append(p.Times, note{X: num(across(float64(at) / float64(r.Span))), Anchor: anchor, Name: label(at, step)})
	}
	for i, mark := range r.Marks {
		n := note{X: num(across(mark.At)), Y: num(chartTop + markHeight*float64(i%markRows)), DX: "4", Anchor: "start", Name: mark.Name}
		if mark.At > 0.8 { // no room to the right
			n.DX, n.Anchor = "-4", "end"
		}
		p.Marks = append(p.Marks, n)
	}
	return p
}

func paintLane(lane Lane, y float64) painted {
	out := painted{Name: lane.Source, Y: num(y), TextY: num(y + 4), Title: laneTitle(lane)}
	paths := [numClasses]strings.Builder{}
	for _, tick := range lane.Ticks {
		up, down := 0.0, 0.0
		size := math.Min(18, 9+2.5*math.Log2(float64(max(1, tick.Times))))
		switch tick.Class {
		case Denied:
			down = size
		case Alarmed:
			up, down = 17, 17
		case Plain:
			up = math.Min(12, size-3)
		case Allowed, Decided:
			up = size
		}
		fmt.Fprintf(&paths[tick.Class], "M%s %sV%s", num(across(tick.At)), num(y+down), num(y-up))
	}
	for class := range numClasses {
		if d := paths[class].String(); d != "" {
			out.Paths = append(out.Paths, path{class, d})
		}
	}
	return out
}

func laneTitle(lane Lane) string {
	words := [numClasses]string{"other", "allowed", "asked or decided", "refused", "alarms"}
	var parts []string
	for class, n := range lane.Counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words[class]))
		}
	}
	return lane.Source.safe + ": " + strings.Join(parts, ", ")
}

func across(at float64) float64 { return chartLeft + at*(chartRight-chartLeft) }

func num(x float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") }

// niceStep is a round time that fits four to nine times.
func niceStep(span time.Duration) time.Duration {
	steps := []time.Duration{
		200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second,
		time.Minute / 2, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, time.Hour / 2,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
	for _, step := range steps {
		if span/step <= 8 {
			return step
		}
	}
	return max(span/8, 24*time.Hour).Truncate(24 * time.Hour)
}

func label(at, step time.Duration) string {
	switch {
	case step < time.Second:
		return fmt.Sprintf("%.1f s", at.Seconds())
	case step < time.Minute:
		return fmt.Sprintf("%d:%02d", int(at.Minutes()), int(at.Seconds())%60)
	case step < time.Hour:
		return fmt.Sprintf("%d min", int(at.Minutes()))
	}
	return fmt.Sprintf("%d h", int(at.Hours()))
}
