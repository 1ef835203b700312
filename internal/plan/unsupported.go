package plan

import (
	"fmt"
	"strings"
)

// Unsupported lists what the plan asks for and this version does not run yet. Start
// refuses then: a rule that is silently not applied would be worse than none.
// An empty answer means that all of it runs.
func (p Plan) Unsupported() []string {
	missing := []string{}
	for _, feature := range []struct {
		what string
		used []string // what in this plan asks for it
	}{
		{"on_canary", when(p.OnCanary != "", p.OnCanary)},
	} {
		if len(feature.used) > 0 {
			missing = append(missing, fmt.Sprintf("%s: %s", feature.what, strings.Join(feature.used, ", ")))
		}
	}
	return missing
}

func when(used bool, text string) []string {
	if used {
		return []string{text}
	}
	return nil
}

func (p Plan) skillNames() []string {
	var list []string
	for _, skill := range p.Skills {
		list = append(list, skill.Name)
	}
	return list
}

// hostPort leaves out the port that goes without saying.
func hostPort(host string, port, usual int) string {
	if port == usual {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}
