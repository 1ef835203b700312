package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints the items for a person: a table, then the lines to type.
func WriteTable(w io.Writer, items []Item) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var fixes strings.Builder
	for _, item := range items {
		state := string(item.Status)
		if item.Status != OK && item.Optional {
			state = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", item.Name, state, orDash(item.Version), item.Detail)
		if item.Needed() {
			for _, line := range item.Fix {
				fmt.Fprintf(&fixes, "  %s\n", line)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if fixes.Len() == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nto fix it, type:\n%s", dedupe(fixes.String()))
	return err
}

// WriteJSON prints the items for a program.
func WriteJSON(w io.Writer, items []Item) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(items)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// dedupe keeps the first of equal lines: each package says "apt-get update".
func dedupe(text string) string {
	seen := map[string]bool{}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !seen[line] {
			kept.WriteString(line)
		}
		seen[line] = true
	}
	return kept.String()
}
