package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/plan"
)

// reference names a Secret that somebody else makes. No value is ever known here.
type reference struct {
	name    string
	key     string
	what    string // for people
	command string // that prints the value; "" where file says it
	file    string // that has it, quoted for a shell
}

// create is the line that makes the Secret. The value goes through a pipe: on a command line
// every user of the machine could read it.
func (r reference) create(namespace string) string {
	line := "kubectl create secret generic " + r.name
	if namespace != "" {
		line = "kubectl -n " + namespace + " create secret generic " + r.name
	}
	if r.file != "" {
		return line + " --from-file=" + r.key + "=" + r.file
	}
	return r.command + " | " + line + " --from-file=" + r.key + "=/dev/stdin"
}

// The keys inside of the Secrets.
const (
	keyToken    = "token"
	keyIdentity = "identity"
	keyCA       = "ca.crt"
	keyValue    = "value"
	keyLink     = "key"
	keyCert     = "tls.crt"
	keyPrivate  = "tls.key"
)

// shout is a variable whose name survives lower case and dashes: no other one gets its name.
var shout = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// secretName is the same for the same source, whichever bottle it is for: a thousand bottles
// of one credential share one Secret.
func secretName(kind, name, source string) string {
	slug := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, name), "-")
	if shout.MatchString(name) && source == "" && len(slug) <= maxSlug {
		return "bottle-" + kind + "-" + slug
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + name + "\x00" + source))
	slug = strings.Trim(slug[:min(len(slug), maxSlug)], "-")
	return strings.ReplaceAll("bottle-"+kind+"-"+slug+"-"+hex.EncodeToString(sum[:4]), "--", "-")
}

const maxSlug = 40

func tokenOf(auth plan.Auth) reference {
	r := reference{key: keyToken, what: "the credential " + auth.String()}
	switch auth.Source {
	case "env":
		r.name, r.command = secretName("token", auth.Name, ""), printed(auth.Name)
	case "file":
		r.name, r.file = secretName("token", path.Base(auth.Name), auth.Name), hostFile(auth.Name)
	default:
		words := make([]string, 0, len(auth.Cmd))
		for _, word := range auth.Cmd {
			words = append(words, quote(word))
		}
		r.name, r.command = secretName("token", path.Base(auth.Name), strings.Join(auth.Cmd, "\x00")), strings.Join(words, " ")
	}
	return r
}

func identityOf(remote plan.Remote) reference {
	return reference{
		name: secretName("git", path.Base(remote.IdentityFile), remote.IdentityFile), key: keyIdentity,
		what: "the ssh key of the remote " + remote.Name, file: hostFile(remote.IdentityFile),
	}
}

func upstreamCAOf(route plan.Route) reference {
	return reference{
		name: secretName("ca", path.Base(route.UpstreamCA), route.UpstreamCA), key: keyCA,
		what: "the authority of " + route.Host, file: hostFile(route.UpstreamCA),
	}
}

// envOf is the Secret of a variable whose value the plan does not have.
func envOf(env plan.Env) reference {
	if env.Source == "host" {
		return reference{name: secretName("env", env.From, ""), key: keyValue, what: "the variable " + env.Name + ", which the agent sees", command: printed(env.From)}
	}
	return reference{
		name: secretName("ask", env.Name, env.From), key: keyValue, what: "the variable " + env.Name + ", which the agent sees: " + env.From,
		command: `(stty -echo; IFS= read -r value; stty echo; printf %s "$value")`,
	}
}

func printed(variable string) string { return `printf %s "$` + variable + `"` }

// hostFile is a path of the plan for a shell.
func hostFile(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		return `"$HOME"/` + quote(rest)
	}
	return quote(name)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// mounted is where the overseer finds the value.
func (r reference) mounted() string { return path.Join(cluster.SecretsDir, r.name, r.key) }

// overseers lists what the overseer must have, each once, and rewrites the plan to find it.
func overseers(p plan.Plan) (plan.Plan, []reference) {
	var list []reference
	add := func(r reference) string {
		if !slices.ContainsFunc(list, func(other reference) bool { return other.name == r.name }) {
			list = append(list, r)
		}
		return r.mounted()
	}
	p.Egress = slices.Clone(p.Egress)
	for i, route := range p.Egress {
		if route.Auth != nil {
			auth := *route.Auth
			auth.Source, auth.Name, auth.Cmd = "file", add(tokenOf(*route.Auth)), nil
			p.Egress[i].Auth = &auth
		}
		if route.UpstreamCA != "" {
			p.Egress[i].UpstreamCA = add(upstreamCAOf(route))
		}
	}
	p.Git.Remotes = slices.Clone(p.Git.Remotes)
	for i, remote := range p.Git.Remotes {
		p.Git.Remotes[i].IdentityFile = add(identityOf(remote))
	}
	return p, list
}

// howTo is the comment at the head of the manifests. What ends a line for YAML is left out of
// a manifest's words: they stay in the comment.
func (r *renderer) howTo(references []reference) string {
	var text strings.Builder
	line := func(format string, args ...any) {
		text.WriteString(strings.TrimRight("# "+strings.Map(printable, fmt.Sprintf(format, args...)), " ") + "\n")
	}
	line("The bottle %s as bottle render kubernetes wrote it. It names Secrets and has none;", r.plan.Identity)
	line("make those that are not there yet, on a machine that has the values:")
	for _, ref := range references {
		line("")
		line("%s:", ref.what)
		line("  %s", ref.create(r.options.Namespace))
	}
	line("")
	line("the keys of this bottle alone: of the gate, and of the authority that the agent trusts:")
	for _, command := range r.makeKeys() {
		line("  %s", command)
	}
	return text.String()
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
		return -1
	}
	return r
}

// makeKeys makes what a start on one machine makes by itself.
func (r *renderer) makeKeys() []string {
	kubectl := "kubectl"
	if r.options.Namespace != "" {
		kubectl += " -n " + r.options.Namespace
	}
	return []string{
		"(d=$(mktemp -d) && bottle render keys " + r.plan.Identity + " --output $d &&",
		kubectl + " create secret generic " + r.secret(volumeLink) + " --from-file=$d/" + keyLink + " &&",
		kubectl + " create secret generic " + r.secret(volumeCA) + " --from-file=$d/" + keyCert + " --from-file=$d/" + keyPrivate + "; rm -r $d)",
	}
}
