//go:build integration

package kubernetes_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/integration/rig"
)

const manifestText = `
[bottles.k]
supervise = true

[[bottles.k.egress.routes]]
host = "api.example.test"
address = "private"
methods = ["GET"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:K_TOKEN" }
upstream_ca = "ca.pem"

[agents.k]
bottle = "k"
template = "shell"
prompt = "Say hello."
command = ["/bin/bash", "-c", """
echo "I am $(id -u) in $(pwd)"; cat "$BOTTLE_PROMPT_FILE"
curl -sS --max-time 60 https://api.example.test/v1/x
curl -sS --max-time 60 -X POST https://api.example.test/v1/x
curl -sS --max-time 60 https://other.example.test/ 2>&1
"""]
`

const token = "s3cret-of-k"

// The two Pods of a bottle, carried out by containers of the engine as the manifests say: the
// agent's request goes through relay, gate, firewall and egress, where it gets a credential
// that is in no other container than the overseer's.
func TestPods(t *testing.T) {
	if os.Getenv("BOTTLE_SLOW") == "" {
		t.Skip("BOTTLE_SLOW=1 runs it")
	}
	r, err := rig.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	_, err = execx.Find("docker")
	rig.Need(t, "docker", err)
	k := &kubelet{t: t, dir: filepath.Join(r.Dir, "pods"), maps: map[string]map[string]any{}}
	k.reap(t.Context())
	t.Cleanup(func() { k.reap(context.WithoutCancel(t.Context())) })

	specs := prepare(t, r, k)
	k.must("network", "create", prefix)
	upstream(t, r, k)
	gate := startBundle(k, specs["bundle"])
	services := map[string]string{
		"BOTTLE_K_X7K2P_SERVICE_HOST": gate,
		// No policies here: a port that nobody has stands for an API that is out of reach.
		"KUBERNETES_SERVICE_HOST": gate, "KUBERNETES_SERVICE_PORT": "1",
	}
	said := runAgent(k, specs["agent"], services)
	for _, want := range []string{
		"I am 1000 in /home/agent/work\nSay hello.\n",
		"upstream: GET /v1/x authorized=true\n",
		"bottle: api.example.test:443: POST is not among the methods of this route: GET",
		"CONNECT tunnel failed, response 403",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the agent did not say %q", want)
		}
	}
	if strings.Contains(said, token) {
		t.Error("the agent has the credential")
	}
	if t.Failed() {
		t.Log(said)
	}
	// The operator's tools work where the overseer is.
	if list := k.must("exec", prefix+"-bundle-overseer", "/usr/local/bin/bottle", "audit", "show", "k-x7k2p"); !strings.Contains(list, "launch") {
		t.Errorf("the audit log of the overseer:\n%s", list)
	}
}

// prepare renders the manifests and makes what they refer to.
func prepare(t *testing.T, r *rig.Rig, k *kubelet) map[string]node {
	t.Helper()
	authority := fakenet.Authority(t)
	leaf, err := authority.Leaf("api.example.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"bottle.toml": []byte(manifestText), "ca.pem": authority.CertPEM(),
		"up.pem": leaf.CertPEM, "up.key": []byte(leaf.KeyPEM.Reveal()),
	} {
		if err := os.WriteFile(filepath.Join(r.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []struct{ pkg, name string }{{"./images/bundle", "bundle"}, {"./tests/kubernetes/testdata/upstream", "upstream"}} {
		if err := r.Build(t.Context(), program.pkg, filepath.Join(r.Dir, program.name)); err != nil {
			t.Fatal(err)
		}
	}
	r.Env = rig.Set(r.Env, "K_TOKEN="+token)
	bottle := func(args ...string) {
		t.Helper()
		if result, err := r.Run(t.Context(), append(args, "--manifest", filepath.Join(r.Dir, "bottle.toml"))...); err != nil || result.Code != 0 {
			t.Fatalf("bottle %s: %v %s", args, err, result)
		}
	}
	bottle("images", "k") // the engine has an image of the bundle then
	bottle("render", "kubernetes", "k", "--identity=k-x7k2p", "--output="+filepath.Join(r.Dir, "out"))
	bottle("render", "keys", "k-x7k2p", "--output="+filepath.Join(r.Dir, "keys"))
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(r.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	k.image, _, _ = strings.Cut(k.must("images", "bottle-bundle", "--format", "{{.ID}}"), "\n")
	k.mounts = []string{r.Dir + "/bundle:/usr/local/bin/bundle", r.Bottle + ":/usr/local/bin/bottle"}
	specs := k.load(filepath.Join(r.Dir, "out"))
	k.secrets = map[string]map[string][]byte{
		"bottle-k-x7k2p-link":  {"key": read("keys/key")},
		"bottle-k-x7k2p-ca":    {"tls.crt": read("keys/tls.crt"), "tls.key": read("keys/tls.key")},
		"bottle-token-k-token": {"token": []byte(token)},
	}
	for _, v := range specs["bundle"].at("volumes").list() { // whose name has a path in it
		if name := v.at("secret", "secretName").String(); strings.HasPrefix(name, "bottle-ca-") {
			k.secrets[name] = map[string][]byte{"ca.crt": read("ca.pem")}
		}
	}
	return specs
}

// upstream is what the agent wants to reach.
func upstream(t *testing.T, r *rig.Rig, k *kubelet) {
	t.Helper()
	k.must("run", "-d", "--name", prefix+"-upstream", "--network", prefix, "--network-alias", "api.example.test",
		"-v", r.Dir+":/t:ro", "-e", "WANT=Bearer "+token, "--entrypoint", "/t/upstream", k.image, "/t/up.pem", "/t/up.key")
}

func startBundle(k *kubelet, spec node) (address string) {
	address = k.pod("bundle", spec)
	vols := k.volumes("bundle", spec)
	var gate node
	for _, c := range spec.at("containers").list() {
		if c.at("name").String() == "gate" { // last: its probe is about all of them
			gate = c
			continue
		}
		k.start("bundle", k.args("bundle", spec, c, vols, nil), c.at("name").String(), node{})
	}
	k.start("bundle", k.args("bundle", spec, gate, vols, nil), "gate", gate.at("readinessProbe"))
	return address
}

func runAgent(k *kubelet, spec node, services map[string]string) string {
	k.pod("agent", spec)
	vols := k.volumes("agent", spec)
	for _, c := range spec.at("initContainers").list() {
		name := c.at("name").String()
		args := k.args("agent", spec, c, vols, services)
		if c.at("restartPolicy").value != nil {
			k.start("agent", args, name, c.at("startupProbe"))
		} else if result := k.run(args); result.Code != 0 {
			k.t.Fatalf("%s: %s", name, result)
		}
	}
	result := k.run(k.args("agent", spec, spec.at("containers").list()[0], vols, services))
	return fmt.Sprintf("%s%s", result.Stdout, result.Stderr)
}
