//go:build integration

package integration

// The value is looked for in command lines, so it must be like nothing else.
const (
	secretName  = "BOTTLE_IT_SECRET"
	secretValue = "zq7-it-secret-4f1e9a-visible-to-nobody"
	// routeToken is a credential that only egress may hold.
	routeTokenName = "BOTTLE_IT_TOKEN"
	routeToken     = "zq7-it-token-90bd12-never-in-the-guest"
	// testLabel is on every container that testcontainers makes for us.
	testLabel = "bottle.test=integration"
)

// manifest has one bottle with real routes to an upstream that the tests add to its
// network, and small agents for what happens around an agent.
const manifest = `
[bottles.probed]
echo = ["echo.bottle.test", "unlisted.bottle.test"]
env = { IT_SECRET = "${BOTTLE_IT_SECRET}", IT_LITERAL = "zq7-it-literal-77" }
resources = { memory = "512MiB", cpus = 2 }

[[bottles.probed.egress.routes]]
host = "echo.bottle.test"
address = "private"

[[bottles.probed.egress.routes]]
host = "up.bottle.test"
address = "private"

[[bottles.probed.egress.routes]]
host = "up.bottle.test:8444"
address = "private"

[[bottles.probed.egress.routes]]
host = "routed.bottle.test"
address = "private"
methods = ["GET"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:BOTTLE_IT_TOKEN" }

[[bottles.probed.egress.routes]]
host = "plain.bottle.test"
scheme = "http"
address = "private"

[bottles.small]
resources = { memory = "256MiB", cpus = 1 }

[agents.it-probed]
bottle = "probed"
template = "shell"
command = ["/bin/sh", "-c", "printf 'the agent is %s\\n' up; exec sleep 86399"]
prompt = "Stay where you are.\n"

[agents.it-slow]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "printf 'the agent is %s\\n' up; exec sleep 86399"]

[agents.it-kept]
bottle = "probed"
template = "shell"
command = ["/bin/sh", "-c", "echo x >> kept; wc -l < kept; ls /usr/local/share/ca-certificates | grep -c ^bottle-; cat /usr/local/share/ca-certificates/bottle-*.crt | sha256sum; exit 7"]

[agents.it-seven]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "echo out; echo err >&2; cat; exit 7"]

[agents.it-tty]
bottle = "small"
template = "shell"
command = ["/bin/bash", "--norc", "--noprofile"]
`
