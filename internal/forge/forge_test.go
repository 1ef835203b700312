package forge

import "testing"

func TestIs(t *testing.T) {
	t.Parallel()
	upstreams := []string{"git.corp.example.com", "altssh.forge.test"}
	for host, want := range map[string]bool{
		"github.com": true, "api.github.com": true, "gist.github.com": true, "me.ghe.com": true, "git.sr.ht": true,
		"gitlab.corp.example.com": true, "git.corp.example.com": true, "api.git.corp.example.com": true,
		"forge.test": true, "api.forge.test": true, "altssh.forge.test": true,
		"example.com": false, "notgithub.com": false, "github.com.example.com": false, "api.anthropic.com": false, "corp.example.com": false,
	} {
		if got := Is(host, upstreams); got != want {
			t.Errorf("Is(%s) = %v", host, got)
		}
	}
}
