package lockfile

import (
	"fmt"
	"strings"
)

const header = `# What the images are made of. Written by "go tool mage update", which shows what changes;
# do not edit. docs/supply-chain.md says what each part is held to.
`

// Text is the file's content. Whatever cannot be read back is an error.
func (f File) Text() ([]byte, error) {
	f.Version = format
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("writing %s: %w", Name, err)
	}
	f = f.sorted()
	var out strings.Builder
	fmt.Fprintf(&out, "%s\nversion = %d\n", header, f.Version)
	for _, base := range f.Bases {
		table(&out, "[[base]]", "platform", base.Platform, "from", base.From, "digest", base.Digest)
		if len(base.Packages) > 0 {
			fmt.Fprintf(&out, "packages = [\n")
			for _, one := range base.Packages { // a line each: a change is a line of a diff
				fmt.Fprintf(&out, "  %q,\n", one)
			}
			out.WriteString("]\n")
		}
	}
	for _, npm := range f.Npm {
		table(&out, "[[npm]]", "tool", npm.Tool, "platform", npm.Platform, "package", npm.Package, "version", npm.Version, "integrity", npm.Integrity)
	}
	if f.Pipelock != nil {
		table(&out, "[pipelock]", "version", f.Pipelock.Version, "sha256", f.Pipelock.SHA256)
	}
	for _, tool := range f.Seen {
		table(&out, "[[seen]]", "name", tool.Name, "version", tool.Version, "digest", tool.Digest)
	}
	return []byte(out.String()), nil
}

// table writes a table of pairs; an empty value is left out. check has seen to it that
// values are plain, for which Go and TOML quote alike.
func table(out *strings.Builder, name string, pairs ...string) {
	fmt.Fprintf(out, "\n%s\n", name)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(out, "%s = %q\n", pairs[i], pairs[i+1])
		}
	}
}
