// Package forge knows the hosts that take HTTPS requests which change a repository: a way
// around the git gate, for the manifest and for an approval alike. It is a guess by names, and
// guesses on the safe side: who means such a host says so in the manifest.
package forge

import (
	"slices"
	"strings"
)

// Is guesses whether host is one: the public forges, what is named like one, and the
// machines of the given upstreams of the git gate.
func Is(host string, upstreams []string) bool {
	hasSuffix := func(end string) bool { return strings.HasSuffix(host, end) }
	hasPrefix := func(begin string) bool { return strings.HasPrefix(host, begin) }
	switch {
	case slices.Contains(public(), host),
		slices.ContainsFunc([]string{".ghe.com", ".sr.ht", ".visualstudio.com"}, hasSuffix),
		slices.ContainsFunc([]string{"gitlab.", "gitea.", "forgejo.", "bitbucket."}, hasPrefix):
		return true
	}
	return slices.ContainsFunc(upstreams, func(upstream string) bool {
		// Some forges take ssh under another name: ssh.github.com, altssh.gitlab.com.
		web := strings.TrimPrefix(strings.TrimPrefix(upstream, "altssh."), "ssh.")
		return host == upstream || host == web || host == "api."+web || host == "uploads."+web
	})
}

func public() []string {
	return []string{
		"api.bitbucket.org", "api.github.com", "api.githubcopilot.com", "bitbucket.org", "codeberg.org", "dev.azure.com",
		"framagit.org", "gist.github.com", "gitea.com", "gitee.com", "github.com", "notabug.org", "salsa.debian.org", "uploads.github.com",
	}
}
