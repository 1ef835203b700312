//go:build integration

package kubernetes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
)

// prefix begins the names of everything that this package makes in the engine.
const prefix = "bottle-kubelet-test"

// kubelet runs the containers of a Pod as a node would, from what the manifests say of them:
// user, group, volumes, environment, probes. It knows no policies, and no machines.
type kubelet struct {
	t       *testing.T
	dir     string
	image   string   // of every container; the programs come from mounts
	mounts  []string // of the programs
	secrets map[string]map[string][]byte
	maps    map[string]map[string]any // ConfigMaps' data
}

func (k *kubelet) docker(args ...string) (rig.Result, error) {
	return rig.RunProgram(k.t.Context(), execx.Cmd{Path: "docker", Args: args, Env: os.Environ()})
}

func (k *kubelet) must(args ...string) string {
	k.t.Helper()
	result, err := k.docker(args...)
	if err != nil || result.Code != 0 {
		k.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, result)
	}
	return strings.TrimSpace(result.Stdout)
}

// reap removes what a run made, this one or one before.
func (k *kubelet) reap(ctx context.Context) {
	quiet := func(args ...string) string {
		result, _ := rig.RunProgram(ctx, execx.Cmd{Path: "docker", Args: args, Env: os.Environ()})
		return result.Stdout
	}
	if ids := strings.Fields(quiet("ps", "-aq", "--filter", "name="+prefix)); len(ids) > 0 {
		quiet(append([]string{"rm", "-f"}, ids...)...)
	}
	quiet("network", "rm", prefix)
}

// pod makes the network namespace of a Pod, and returns its address.
func (k *kubelet) pod(name string, spec node) string {
	args := []string{"run", "-d", "--name", prefix + "-" + name, "--network", prefix}
	for _, sysctl := range spec.at("securityContext", "sysctls").list() {
		args = append(args, "--sysctl", sysctl.at("name").String()+"="+sysctl.at("value").String())
	}
	k.must(append(args, "--entrypoint", "sleep", k.image, "600")...)
	return k.must("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", prefix+"-"+name)
}

// volumes makes the directories of a Pod's volumes, with the modes that a node gives them.
func (k *kubelet) volumes(pod string, spec node) map[string]string {
	group, _ := spec.at("securityContext", "fsGroup").value.(int)
	made := map[string]string{}
	for _, v := range spec.at("volumes").list() {
		dir := filepath.Join(k.dir, pod, v.at("name").String())
		made[v.at("name").String()] = dir
		if err := os.MkdirAll(dir, 0o755); err != nil {
			k.t.Fatal(err)
		}
		switch {
		case v.at("emptyDir").value != nil:
			if err := errors.Join(os.Chown(dir, 0, group), os.Chmod(dir, 0o777|os.ModeSetgid)); err != nil {
				k.t.Fatal(err)
			}
		case v.at("secret").value != nil:
			secret := v.at("secret")
			mode, _ := secret.at("defaultMode").value.(int)
			for _, item := range secret.at("items").list() {
				data, ok := k.secrets[secret.at("secretName").String()][item.at("key").String()]
				if !ok {
					k.t.Fatalf("the test has no Secret %s with %s", secret.at("secretName"), item.at("key"))
				}
				k.project(dir, item.at("path").String(), data, os.FileMode(mode), group)
			}
		default:
			data := k.maps[v.at("configMap", "name").String()]
			items := v.at("configMap", "items").list()
			if items == nil {
				for key := range data {
					items = append(items, node{map[string]any{"key": key, "path": key}})
				}
			}
			for _, item := range items {
				k.project(dir, item.at("path").String(), []byte(fmt.Sprint(data[item.at("key").String()])), 0o644, group)
			}
		}
	}
	return made
}

// project writes one file of a volume behind the two symlinks of a node's.
func (k *kubelet) project(dir, name string, data []byte, mode os.FileMode, group int) {
	k.t.Helper()
	file := filepath.Join(dir, "..2026", name)
	top, _, _ := strings.Cut(name, "/")
	_ = os.Symlink("..2026", filepath.Join(dir, "..data"))
	_ = os.Symlink(filepath.Join("..data", top), filepath.Join(dir, top))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o600), os.Chown(file, 0, group), os.Chmod(file, mode)); err != nil {
		k.t.Fatal(err)
	}
}

var reference = regexp.MustCompile(`\$\$|\$\(\w+\)`)

// expand is the kubelet's own: $(NAME) where it knows NAME, and $ for $$.
func expand(text string, env map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := env[strings.Trim(found, "$()")]; ok {
			return value
		}
		return found
	})
}

// args is the docker command line of a container.
func (k *kubelet) args(pod string, spec, c node, vols, services map[string]string) []string {
	security := c.at("securityContext")
	args := []string{
		"run", "--name", prefix + "-" + pod + "-" + c.at("name").String(), "--network", "container:" + prefix + "-" + pod,
		"--user", security.at("runAsUser").String() + ":" + security.at("runAsGroup").String(),
		"--group-add", spec.at("securityContext", "fsGroup").String(),
		"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
		"--memory", strings.Replace(c.at("resources", "limits", "memory").String(), "Mi", "m", 1),
	}
	for _, m := range c.at("volumeMounts").list() {
		how := vols[m.at("name").String()] + ":" + m.at("mountPath").String()
		if m.at("readOnly").value == true {
			how += ":ro"
		}
		args = append(args, "-v", how)
	}
	for _, program := range k.mounts {
		args = append(args, "-v", program+":ro")
	}
	env := map[string]string{}
	for name, value := range services {
		env[name] = value
		args = append(args, "-e", name+"="+value)
	}
	for _, e := range c.at("env").list() {
		env[e.at("name").String()] = expand(fmt.Sprint(e.at("value")), env)
		args = append(args, "-e", e.at("name").String()+"="+env[e.at("name").String()])
	}
	if dir := c.at("workingDir"); dir.value != nil {
		args = append(args, "-w", dir.String())
	}
	var words []string
	for _, word := range c.at("command").list() {
		words = append(words, expand(word.String(), env))
	}
	return append(append(args, "--entrypoint", words[0], k.image), words[1:]...)
}

// start runs a container that stays, and waits for its probe.
func (k *kubelet) start(pod string, args []string, name string, probe node) {
	k.t.Helper()
	k.must(slices.Insert(args, 1, "-d")...)
	if probe.value == nil {
		return
	}
	words := []string{"exec", prefix + "-" + pod + "-" + name}
	for _, word := range probe.at("exec", "command").list() {
		words = append(words, word.String())
	}
	eventually.Fine(k.t, eventually.Patience, func() string {
		result, err := k.docker(words...)
		if err == nil && result.Code == 0 {
			return ""
		}
		logs, _ := k.docker("logs", prefix+"-"+pod+"-"+name)
		return fmt.Sprintf("%s is not ready: %v %s\n%s", name, err, result, logs)
	})
}

// run runs a container to its end.
func (k *kubelet) run(args []string) rig.Result {
	k.t.Helper()
	result, err := k.docker(slices.Insert(args, 1, "--rm")...)
	if err != nil {
		k.t.Fatal(err)
	}
	return result
}

// load reads manifests as bottle wrote them.
func (k *kubelet) load(dir string) map[string]node {
	k.t.Helper()
	specs := map[string]node{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			k.t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var document map[string]any
			if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				k.t.Fatal(err)
			}
			d := node{document}
			if data, ok := d.at("data").value.(map[string]any); ok {
				k.maps[d.at("metadata", "name").String()] = data
			}
			if spec := d.at("spec", "template", "spec"); spec.value != nil {
				specs[d.at("spec", "template", "metadata", "labels", "bottle.kind").String()] = spec
			}
		}
	}
	return specs
}
