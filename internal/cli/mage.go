package cli

import (
	"regexp"
	"slices"
	"strings"
)

var settingPattern = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)=(.*)$`)

// MageArgs makes the spellings that people try work with mage, which knows neither
// KEY=VALUE nor optional arguments: settings leave args and become environment, and a
// "run" without an agent gets $AGENT, or the empty name, which is answered with the
// list of agents.
func MageArgs(args []string, agent string) (rest []string, env map[string]string) {
	env = map[string]string{}
	for _, arg := range args {
		if setting := settingPattern.FindStringSubmatch(arg); setting != nil {
			env[setting[1]] = setting[2]
			continue
		}
		rest = append(rest, arg)
	}
	if value, ok := env["AGENT"]; ok {
		agent = value
	}
	run := slices.IndexFunc(rest, func(arg string) bool { return strings.EqualFold(arg, "run") })
	if run >= 0 && run == len(rest)-1 && !slices.Contains(rest, "-h") {
		rest = append(rest, agent)
	}
	return rest, env
}
