package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"bottle.internal/internal/bytesize"
)

//go:embed page.gohtml
var pageText string

//go:embed style.css
var styleText string

// page is what the template sees.
type page struct {
	Report
	Style    template.CSS
	Policy   string
	Headline string
	Tiles    []tile
}

// HTML writes the report as one page that needs nothing else. Its policy lets a browser use
// the one style sheet in it and nothing beside, whatever somebody got into the page.
func HTML(w io.Writer, r Report) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"safe": text, "bytes": bytesize.Of, "clock": clock, "exact": exact, "period": period, "facts": facts, "picture": paint, "long": func(t Text) bool { return len(t.safe) > 40 && !strings.Contains(t.safe, " ") },
		"verdict": func(v Verdict) string { return map[Verdict]string{Taken: "ok", Refused: "no"}[v] },
		"status":  func(t Text) string { return map[string]string{"approved": "ok"}[t.safe] },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	err = t.Execute(w, page{
		Report: r, Style: template.CSS(styleText), Policy: policy(styleText), //nolint:gosec // our own file
		Headline: headline(r), Tiles: tiles(r),
	})
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// policy names the style sheet by its digest.
func policy(style string) string {
	digest := sha256.Sum256([]byte(style))
	return fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'", base64.StdEncoding.EncodeToString(digest[:]))
}

func clock(at time.Time) string { return at.UTC().Format(time.TimeOnly) }

// period is when something began and ended.
func period(first, last time.Time) string {
	if clock(first) == clock(last) {
		return clock(first)
	}
	return clock(first) + " to " + clock(last)
}

func exact(at time.Time) string { return at.UTC().Format("15:04:05.000") }
