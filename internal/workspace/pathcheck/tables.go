package pathcheck

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Globs are patterns as .gitignore has them, matched without regard to case, and at any
// depth unless they begin with a slash.
type Globs struct{ patterns []pattern }

type pattern struct {
	text    string
	matcher gitignore.Pattern
	floats  bool // has several components and may begin at any
}

// NewGlobs compiles patterns.
func NewGlobs(patterns []string) Globs {
	var globs Globs
	for _, text := range patterns {
		globs.patterns = append(globs.patterns, pattern{
			text: text, matcher: gitignore.ParsePattern(strings.ToLower(text), nil),
			floats: !strings.HasPrefix(text, "/") && strings.Contains(strings.TrimSuffix(text, "/"), "/"),
		})
	}
	return globs
}

// Match returns the first pattern that a path, or a directory above it, matches. A link may
// stand where the pattern means a directory, so a path counts as one.
func (g Globs) Match(name string) (string, bool) {
	parts := strings.Split(foldPath(name), "/")
	for _, p := range g.patterns {
		for start := range parts {
			if p.matcher.Match(parts[start:], true) == gitignore.Exclude {
				return p.text, true
			}
			if !p.floats {
				break
			}
		}
	}
	return "", false
}

// SecretNames are files that hold credentials by custom: they do not go into a guest. A
// .npmrc is one only if there is a credential in it.
func SecretNames() []string {
	return []string{
		".env", ".env.*", ".envrc.local", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
		"id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".pypirc",
		".htpasswd", ".aws/", ".ssh/", ".gnupg/", ".azure/", ".kube/", "kubeconfig", "*.kubeconfig", ".docker/config.json", ".dockercfg",
		".config/gcloud/", ".config/gh/hosts.yml", "application_default_credentials.json", "credentials.json", "client_secret*.json",
		"service-account*.json", ".terraformrc", "terraform.tfstate", "terraform.tfstate.*", "*.tfvars", ".vault-token", ".claude.json",
		".claude/.credentials.json", ".codex/auth.json",
	}
}

// SensitiveNames are files that make a program of the host run something, or tell an agent
// on the host what to do, without anybody asking for it. CI files come from the manifest.
func SensitiveNames() []string {
	return []string{
		".envrc", ".direnv/", ".vscode/", "*.code-workspace", ".idea/", ".fleet/", ".zed/", ".cursor/", ".cursorrules", ".devcontainer/", ".devcontainer.json",
		".mcp.json", ".claude/", "CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "AGENTS.override.md", "GEMINI.md", ".gemini/", ".codex/", ".opencode/", "opencode.json", "opencode.jsonc",
		".windsurf/", ".windsurfrules", ".aider.conf.yml", ".github/copilot-instructions.md",
		".husky/", "lefthook.yml", ".lefthook.yml", ".pre-commit-config.yaml", ".gitattributes", ".gitmodules", ".gitconfig",
		"bottle.toml", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".cargo/", ".exrc", ".vimrc", ".nvimrc", ".nvim.lua", ".dir-locals.el",
		".mise.toml", "mise.toml", ".tool-versions", ".bashrc", ".zshrc", ".profile",
	}
}
