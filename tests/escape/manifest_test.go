//go:build integration && linux

package escape

const (
	tokenName = "BOTTLE_ES_TOKEN"
	token     = "zq7-es-token-51ac03-never-in-the-guest"
)

// manifest has the bottle that is attacked, with an allowed way of each kind, and its
// neighbour, which is small so that it can be filled.
const manifest = `
[bottles.main]
echo = ["echo.bottle.test", "api.bottle.test", "open.bottle.test", "git.bottle.test", "unlisted.bottle.test"]
supervise = true
resources = { memory = "512MiB", cpus = 2 }

[[bottles.main.egress.routes]]
host = "echo.bottle.test"
address = "private"

[[bottles.main.egress.routes]]
host = "up.bottle.test"
address = "private"

[[bottles.main.egress.routes]]
host = "plain.bottle.test"
scheme = "http"
address = "private"

[[bottles.main.egress.routes]]
host = "rebind.bottle.test" # an honest name, so its address must be a public one

[[bottles.main.egress.routes]]
host = "api.bottle.test"
address = "private"
methods = ["GET"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:BOTTLE_ES_TOKEN" }

[[bottles.main.egress.routes]]
host = "open.bottle.test"
address = "private"
methods = ["GET", "POST"]
paths = ["/v1/"]

[[bottles.main.git.remotes]]
name = "app"
upstream = "ssh://git@git.bottle.test/app.git"

[bottles.main.git.user]
name = "Mallory"
email = "mallory@bottle.test"

[bottles.small]
resources = { memory = "256MiB", cpus = 1, disk = "1GiB" }

[agents.es-main]
bottle = "main"
template = "shell"
command = ["/bin/sh", "-c", "exec sleep 86399"]

[agents.es-other]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-c", "exec sleep 86399"]
`
