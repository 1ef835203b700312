package plan

import (
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/manifest"
)

// PromptMode says how the agent takes its prompt.
type PromptMode string

// The modes of a prompt.
const (
	PromptAuto        PromptMode = ""            // interactive on a terminal, batch without one
	PromptBatch       PromptMode = "batch"       // work on it and end
	PromptInteractive PromptMode = "interactive" // the first message of a session
)

// promptArg is how a program takes a prompt on its command line.
type promptArg int

const (
	promptNone       promptArg = iota // it does not; the prompt is in $BOTTLE_PROMPT_FILE
	promptPositional                  // after "--"
	promptFlag                        // --prompt=TEXT
)

// The prompt is read inside the guest: on a command line of the host everybody could see it,
// and a prompt_file is not read to make a plan. In batch nothing else may come from stdin,
// or the programs would wait for its end.
const (
	positionalScript = `exec "$@" -- "$(cat "$BOTTLE_PROMPT_FILE")"`
	flagScript       = `exec "$@" --prompt="$(cat "$BOTTLE_PROMPT_FILE")"`
	batchScript      = positionalScript + " </dev/null"
)

// command is the manifest's command as it is, or the template's for the mode with its prompt.
func (r *resolver) command(prompt Prompt) []string {
	if len(r.agent.Command) > 0 {
		return slices.Clone(r.agent.Command)
	}
	batch := r.request.PromptMode == PromptBatch || r.request.PromptMode == PromptAuto && !r.request.Terminal
	command, script := r.template.interactive, ""
	switch r.template.prompt {
	case promptPositional:
		script = positionalScript
	case promptFlag:
		script = flagScript
	}
	if batch && r.template.batch != nil {
		command, script = r.template.batch, batchScript
		r.checkBatch(prompt)
	}
	if prompt.Guest == "" || script == "" {
		return slices.Clone(command) // in batch, the prompt comes from stdin
	}
	return append([]string{"/bin/sh", "-c", script, "prompt"}, command...)
}

// checkBatch: without a prompt, and with a person in front of it, the agent would silently
// wait for one to be typed.
func (r *resolver) checkBatch(prompt Prompt) {
	if prompt.Guest == "" && r.request.Terminal {
		r.err.add(fmt.Sprintf("agents.%s: batch mode works on a prompt, and there is none", r.agent.Name),
			fmt.Sprintf("write in [agents.%s]: prompt = \"...\"", r.agent.Name))
	}
}

// checkBaseURL: a gateway is reached by a route of the bottle like everything else.
func (r *resolver) checkBaseURL(p Plan) {
	if r.agent.BaseURL == "" {
		return
	}
	field := fmt.Sprintf("agents.%s.base_url", r.agent.Name)
	if !r.template.takesBaseURL {
		r.err.add(fmt.Sprintf("%s: template %s has no use for it", field, r.agent.Template), "")
		return
	}
	host, port, path := splitURL(r.agent.BaseURL)
	i := slices.IndexFunc(p.Egress, func(route Route) bool { return route.Host == host && route.Port == port })
	switch {
	case i < 0:
		r.err.add(fmt.Sprintf("%s: %s is no routed host of bottle %s", field, hostPort(host, port, 443), r.bottle.Name),
			fmt.Sprintf(`write a route: [[bottles.%s.egress.routes]] with host = %q, methods = ["GET", "POST"], paths = [%q] and auth`,
				r.bottle.Name, hostPort(host, port, 443), path+"/"))
	case !slices.Contains(p.Egress[i].Methods, "POST"):
		r.err.add(fmt.Sprintf("%s: the route of %s does not allow POST", field, host),
			fmt.Sprintf(`write in the route of %s: methods = ["GET", "POST"]`, host))
	case p.Egress[i].Auth == nil:
		r.warnings = append(r.warnings, fmt.Sprintf("%s has no auth, so the agent's placeholder is all that %s gets", host, host))
	}
}

// splitURL takes apart what manifest.Load has checked.
func splitURL(text string) (host string, port int, path string) {
	rest, _ := strings.CutPrefix(text, "https://")
	hostPort, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	host, port = manifest.SplitHost(hostPort)
	return host, port, path
}

// placeholders are the template's, by the header that the API's route wants.
func (r *resolver) placeholders() []string {
	if len(r.template.keyPlaceholders) == 0 {
		return r.template.placeholders
	}
	api := ""
	if len(r.template.routes) > 0 {
		api = r.template.routes[0].Host
	}
	if r.agent.BaseURL != "" {
		api, _, _ = splitURL(r.agent.BaseURL)
	}
	for _, route := range r.bottle.Routes {
		if route.Host == api && route.Auth != nil && strings.EqualFold(route.Auth.Header, "x-api-key") {
			return r.template.keyPlaceholders
		}
	}
	return r.template.placeholders
}
