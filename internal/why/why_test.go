package why_test

import (
	"testing"
	"time"

	"bottle.internal/internal/firewall/leak"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/why"
)

const routes = `[bottles.base]
supervise = true

[[bottles.base.egress.routes]]
host = "api.example.com:8443"
methods = ["GET", "POST"]
paths = ["/v1"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:API_TOKEN" }

[[bottles.base.egress.routes]]
host = "models.example.com:8443"
methods = ["GET", "POST"]
paths = ["/"]
auth = { header = "X-Api-Key", token = "env:MODEL_TOKEN" }

[[bottles.base.egress.routes]]
host = "read.example.com:8443"
paths = ["/"]

[[bottles.base.egress.routes]]
host = "live.example.com:8443"
paths = ["/"]
websocket = true

[[bottles.base.egress.routes]]
host = "plain.example.com"

[[bottles.base.egress.routes]]
host = "mirror.example.com"
scheme = "http"

[[bottles.base.git.remotes]]
name = "app"
upstream = "ssh://git@github.com/me/app.git"
identity_file = "~/.ssh/app_deploy"
known_host_key = "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

[bottles.dev]
extends = "base"

[agents.dev]
bottle = "dev"
template = "shell"
`

func planOf(t *testing.T, text string) plan.Plan {
	t.Helper()
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "/home/me/bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(set, plan.Request{Agent: "dev", Identity: names.Identity("dev-x7k2p"), Asks: true},
		plan.Facts{Unseen: true, FirewallEngine: "builtin", TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func facts(p plan.Plan) why.Facts {
	return why.Facts{Plan: p, Launched: p, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Secrets: &secrets}
}

// secrets is compiled once for all tests.
var secrets leak.Scanner
