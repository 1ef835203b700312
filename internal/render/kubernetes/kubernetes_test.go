package kubernetes_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/outfit"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/render/kubernetes"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/provision"
	"bottle.internal/tests/golden"
)

// planOf is one of the golden plans, without what a cluster does not run.
func planOf(t *testing.T, name string) plan.Plan {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "plan", "testdata", name+".plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p plan.Plan
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	mine := func(host string) bool { return strings.HasSuffix(host, ".bottle.test") }
	p.Firewall.Hosts = slices.DeleteFunc(p.Firewall.Hosts, func(h plan.Host) bool { return mine(h.Host) })
	p.Egress = slices.DeleteFunc(p.Egress, func(r plan.Route) bool { return mine(r.Host) })
	p.Git.Remotes = slices.DeleteFunc(p.Git.Remotes, func(r plan.Remote) bool { return r.Echo })
	p.Echo, p.Skills = nil, nil
	return p
}

func options() kubernetes.Options {
	return kubernetes.Options{RuntimeClass: "kata", Images: kubernetes.Images{
		Agent: "registry.example.com/bottle/agent:0a0a", Bundle: "registry.example.com/bottle/bundle:0b0b", Overseer: "registry.example.com/bottle/overseer:0b0b",
	}}
}

func render(t *testing.T, p plan.Plan, o kubernetes.Options) []byte {
	t.Helper()
	files, err := provision.Render(outfit.Of(p, []byte("Say \"hello\".\n")))
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := kubernetes.Render(p, files, o)
	if err != nil {
		t.Fatal(err)
	}
	return kubernetes.Bytes(manifests)
}

// tests/kubernetes holds these files against the API's own schemas.
func TestManifests(t *testing.T) {
	t.Parallel()
	inNamespace := options()
	inNamespace.Namespace = "agents"
	for name, o := range map[string]kubernetes.Options{"claude": options(), "full-file": inNamespace} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := render(t, planOf(t, name), o)
			golden.Check(t, "testdata/"+name+".yaml", got)
			if again := render(t, planOf(t, name), o); string(again) != string(got) {
				t.Error("the same plan gave other bytes")
			}
		})
	}
}

func TestWhatAClusterCannotRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(*plan.Plan)
		want   string
	}{
		{func(p *plan.Plan) { p.Echo = []string{"api.bottle.test"} }, "its echo upstream is a container on this machine"},
		{func(p *plan.Plan) { p.Firewall.Engine = "pipelock" }, "the firewall pipelock is a program of this machine"},
		{func(p *plan.Plan) { p.Skills = []plan.Skill{{Name: "review"}} }, "its skills are directories of this machine"},
		{func(p *plan.Plan) { p.Workspace = &plan.Workspace{} }, "its workspace is a directory of this machine"},
		{func(p *plan.Plan) { p.Workdir = "/srv" }, "its workdir is not in /home/agent"},
	} {
		p := planOf(t, "claude")
		test.change(&p)
		_, err := kubernetes.Render(p, provision.Rendered{}, options())
		if want := "a cluster cannot run this bottle: " + test.want; err == nil || err.Error() != want {
			t.Errorf("Render = %v, want %s", err, want)
		}
	}
}

// Without a runtime class the agent would share the node's kernel.
func TestOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*kubernetes.Options){
		`the namespace "Agents": small letters, digits and dashes, at most 63`:       func(o *kubernetes.Options) { o.Namespace = "Agents" },
		`the namespace "a\nkind: Pod": small letters, digits and dashes, at most 63`: func(o *kubernetes.Options) { o.Namespace = "a\nkind: Pod" },
		`the runtime class "": small letters, digits and dashes, at most 63`:         func(o *kubernetes.Options) { o.RuntimeClass = "" },
		`the image "-x" is no reference`:                                             func(o *kubernetes.Options) { o.Images.Bundle = "-x" },
	} {
		o := options()
		change(&o)
		if _, err := kubernetes.Render(planOf(t, "claude"), provision.Rendered{}, o); err == nil || err.Error() != want {
			t.Errorf("Render = %v, want %s", err, want)
		}
	}
}

// What a manifest says in a command or a path must not become a line of YAML.
func TestWordsOfTheManifestStayComments(t *testing.T) {
	t.Parallel()
	p := planOf(t, "claude")
	p.Egress[0].Auth.Source, p.Egress[0].Auth.Name = "cmd", "sh"
	p.Egress[0].Auth.Cmd = []string{"sh", "-c", "echo a\n---\nkind: Pod\r\u2028x"}
	text := string(render(t, p, options()))
	for _, found := range []string{"\n---\nkind", "\r", "\u2028"} {
		if strings.Contains(text, found) {
			t.Errorf("%q is in the manifests", found)
		}
	}
	if !strings.Contains(text, "#   sh -c 'echo a---kind: Podx' | kubectl") {
		t.Error("the command is not in the comment")
	}
}

// The kubelet would put its own variables into $(NAME).
func TestDollarsAreDoubled(t *testing.T) {
	t.Parallel()
	p := planOf(t, "claude")
	p.Command = []string{"sh", "-c", "echo $(KUBERNETES_SERVICE_HOST)"}
	if text := string(render(t, p, options())); !strings.Contains(text, "echo $$(KUBERNETES_SERVICE_HOST)") {
		t.Error("a command of the manifest can read the kubelet's variables")
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	if cluster.Program != bundle.Program {
		t.Errorf("the manifests start %s, the image has %s", cluster.Program, bundle.Program)
	}
}
