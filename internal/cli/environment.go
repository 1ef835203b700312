package cli

import (
	"bytes"
	"fmt"
	"strings"
)

const exitCodes = `0 is success, 1 a failure, 2 a mistake on the command line, 130 an interrupt; start, attach,
resume, exec and shell pass the guest's own exit code on.`

// variable is one of the environment that bottle looks at.
type variable struct{ name, meaning string }

func environment() []variable {
	return []variable{
		{"BOTTLE_MANIFEST", "your own manifest, instead of $XDG_CONFIG_HOME/bottle/bottle.toml; --manifest goes before it"},
		{"BOTTLE_SMOLVM", "the VM tool; without it, smolvm of $PATH, else our stand-in smolvm-lite"},
		{"BOTTLE_SOURCE", "the checkout that the programs of guest and bundle are built from; without it, the one that holds the working directory"},
		{"BOTTLE_BASE", "the base of the agent image, instead of what the recipe names: debian, registry, or a base as in a recipe"},
		{"BOTTLE_LOCKED", "1: a base that is not the one of bottle.lock is refused, instead of told"},
		{"PIPELOCK_BIN", "a pipelock program that becomes the firewall's engine"},
		{"PIPELOCK_SHA256", "the digest that this program must have; nothing else vouches for it"},
		{"EGRESS_UPSTREAM_PROXY", "an http:// proxy through which egress reaches the hosts"},
		{"SMOLVM_LITE_KERNEL", "the directory with the kernel that smolvm-lite boots"},
		{"SOURCE_DATE_EPOCH", "the time of an SBOM, in seconds since 1970, instead of the image's or the commit's"},
		{"DOCKER_HOST", "the Docker Engine; without it, that of the Docker context, then the usual sockets"},
		{"DOCKER_CONTEXT", "the Docker context"},
		{"DOCKER_CONFIG", "the directory with the Docker contexts, instead of ~/.docker"},
		{"COLIMA_HOME", "instead of ~/.colima: one of the places where an engine may listen"},
		{"HOME", "where ~/ is; it must be set"},
		{"XDG_CONFIG_HOME", "instead of ~/.config: bottle/bottle.toml in it"},
		{"XDG_STATE_HOME", "instead of ~/.local/state: what runs, what is kept, and the audit logs, in bottle of it"},
		{"XDG_CACHE_HOME", "instead of ~/.cache: images, packs and downloads, in bottle of it"},
		{"XDG_DATA_HOME", "instead of ~/.local/share: smolvm-lite/kernel in it"},
		{"XDG_RUNTIME_DIR", "one of the places where an engine may listen"},
		{"NO_COLOR", "if it is not empty: no colours and no live lines"},
		{"TERM", "dumb is the same as NO_COLOR; others are passed on to the guest's terminal"},
		{"PATH", "where git, ssh, the VM tool and the program of a token's cmd are found"},
		{"USER", "who is asked for in a hint about sub-uids"},
	}
}

// environmentSection is the environment as a part of a manual page.
func environmentSection(out *bytes.Buffer) {
	out.WriteString(".SH ENVIRONMENT\n")
	for _, v := range environment() {
		fmt.Fprintf(out, ".TP\n.B %s\n%s\n", roff(v.name), roff(v.meaning))
	}
}

// environmentTable is the same for the reference.
func environmentTable() string {
	var out strings.Builder
	out.WriteString("| variable | what it is for |\n|---|---|\n")
	for _, v := range environment() {
		fmt.Fprintf(&out, "| `%s` | %s |\n", v.name, v.meaning)
	}
	return out.String()
}
