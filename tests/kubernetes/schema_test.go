// Package kubernetes_test holds the manifests that we write against the schemas that
// Kubernetes itself publishes, of one release, without a cluster.
package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// The release, and the sum of its module as the checksum database has it: it is not in
// go.sum, because nothing of it is compiled.
const (
	release    = "k8s.io/kubernetes@v1.37.2"
	releaseSum = "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="
)

// schemaOf says where a kind is described.
func schemaOf(apiVersion, kind string) (file, name string) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		return "api__" + apiVersion + "_openapi.json", "io.k8s.api.core." + apiVersion + "." + kind
	}
	short, _, _ := strings.Cut(group, ".")
	return "apis__" + group + "__" + version + "_openapi.json", "io.k8s.api." + short + "." + version + "." + kind
}

// published is the directory of the schemas, fetched once into the module cache.
var published = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bottle-kubernetes-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "mod", "download", "-json", release)
	cmd.Dir = dir // no module of ours
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w: %s", release, err, out)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	if module.Sum != releaseSum {
		return "", fmt.Errorf("%s has the sum %s, want %s", release, module.Sum, releaseSum)
	}
	return filepath.Join(module.Dir, "api", "openapi-spec", "v3"), nil
})

// validator knows every kind that it was asked for.
type validator struct{ schemas map[string]*jsonschema.Schema }

func (v *validator) schema(apiVersion, kind string) (*jsonschema.Schema, error) {
	file, name := schemaOf(apiVersion, kind)
	if known, ok := v.schemas[name]; ok {
		return known, nil
	}
	dir, err := published()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	seal(document)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(file, document); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(file + "#/components/schemas/" + name)
	if err == nil {
		v.schemas[name] = compiled
	}
	return compiled, err
}

// seal makes an unknown field an error, as kubectl's strict validation does: the published
// schemas leave that to the server.
func seal(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, hasFields := node["properties"].(map[string]any)
		if _, open := node["additionalProperties"]; hasFields && !open && node["x-kubernetes-preserve-unknown-fields"] == nil {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			seal(child)
		}
	case []any:
		for _, child := range node {
			seal(child)
		}
	}
}

// check validates every document of a stream.
func (v *validator) check(stream []byte) (kinds []string, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(stream))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return kinds, nil
		} else if err != nil {
			return kinds, err
		}
		kind, _ := document["kind"].(string)
		apiVersion, _ := document["apiVersion"].(string)
		schema, err := v.schema(apiVersion, kind)
		if err != nil {
			return kinds, err
		}
		text, err := json.Marshal(document)
		if err != nil {
			return kinds, err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return kinds, err
		}
		if err := schema.Validate(value); err != nil {
			return kinds, fmt.Errorf("%s: %w", kind, err)
		}
		kinds = append(kinds, kind)
	}
}

const goldens = "../../internal/render/kubernetes/testdata"

func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldens, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestManifestsAreWhatKubernetesTakes(t *testing.T) {
	t.Parallel()
	v := &validator{map[string]*jsonschema.Schema{}}
	for _, name := range []string{"claude.yaml", "full-file.yaml"} {
		kinds, err := v.check(golden(t, name))
		want := "NetworkPolicy NetworkPolicy NetworkPolicy Service ConfigMap Deployment ConfigMap Job"
		if err != nil || strings.Join(kinds, " ") != want {
			t.Errorf("%s: %v, %v", name, kinds, err)
		}
	}
}

// The check can fail: one wrong word each in what passes otherwise.
func TestWhatKubernetesRefuses(t *testing.T) {
	t.Parallel()
	v := &validator{map[string]*jsonschema.Schema{}}
	for _, test := range []struct{ name, right, wrong, want string }{
		{"unknown field", "runtimeClassName:", "runtimeClass:", "'runtimeClass' not allowed"},
		{"unknown field of a container", "allowPrivilegeEscalation:", "allowPrivilegesEscalation:", "'allowPrivilegesEscalation' not allowed"},
		{"wrong type", "runAsNonRoot: true", `runAsNonRoot: "yes"`, "got string, want boolean"},
		{"number for text", `- "8888"`, "- 8888", "got number, want string"},
		{"text for number", "port: 7070", `port: [7070]`, "got array"},
		{"missing field", "podSelector:\n    matchLabels:", "x-podSelector:\n    matchLabels:", "'x-podSelector' not allowed"},
		{"missing name of a container", "- name: agent\n          image:", "- image:", "missing property 'name'"},
	} {
		text := golden(t, "claude.yaml")
		broken := bytes.Replace(text, []byte(test.right), []byte(test.wrong), 1)
		if bytes.Equal(text, broken) {
			t.Errorf("%s: %q is not in the manifests", test.name, test.right)
		}
		if _, err := v.check(broken); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}
