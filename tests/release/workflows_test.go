package release

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const root = "../.."

// workflow is what is checked of a workflow; the rest is actionlint's.
type workflow struct {
	On          any               `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency map[string]any    `yaml:"concurrency"`
	Jobs        map[string]struct {
		Permissions any `yaml:"permissions"`
		Timeout     int `yaml:"timeout-minutes"`
		Steps       []struct {
			Uses string         `yaml:"uses"`
			Run  string         `yaml:"run"`
			With map[string]any `yaml:"with"`
			Env  map[string]any `yaml:"env"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

var (
	pinned  = regexp.MustCompile(`^[\w.-]+/[\w.-]+@[0-9a-f]{40}$`)
	comment = regexp.MustCompile(`uses: (\S+)( # v\d+\.\d+\.\d+)?`)
)

// faults lists what is wrong with a workflow: it is a function so that the test below
// can show that each fault is found.
func faults(t *testing.T, text string) []string {
	t.Helper()
	var found []string
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		found = append(found, "permissions are not contents: read")
	}
	if w.Concurrency["group"] == nil {
		found = append(found, "no concurrency group")
	}
	if strings.Contains(text, "pull_request_target") || strings.Contains(text, "workflow_run") {
		found = append(found, "runs with rights on what a stranger wrote")
	}
	if strings.Contains(text, "secrets.") {
		found = append(found, "uses a secret")
	}
	for _, job := range w.Jobs {
		if job.Permissions != nil {
			found = append(found, "a job has other permissions")
		}
		if job.Timeout == 0 || job.Timeout > 60 {
			found = append(found, "a job has no timeout")
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				found = append(found, step.Uses+" is not pinned by a commit")
			}
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
				found = append(found, "checkout keeps the token in the checkout")
			}
			if strings.Contains(step.Run, "${{") {
				found = append(found, "a script is put together from an expression")
			}
		}
	}
	for _, line := range comment.FindAllStringSubmatch(text, -1) {
		if line[2] == "" {
			found = append(found, line[1]+" does not say its version")
		}
	}
	return found
}

func workflows(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, dir := range []string{".github", ".gitea"} {
		names, err := filepath.Glob(filepath.Join(root, dir, "workflows", "*"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s has no workflows: %v", dir, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[strings.TrimPrefix(filepath.ToSlash(name), root+"/")] = string(text)
		}
	}
	return texts
}

func TestWorkflows(t *testing.T) {
	t.Parallel()
	pins := map[string]string{}
	for name, text := range workflows(t) {
		for _, fault := range faults(t, text) {
			t.Errorf("%s: %s", name, fault)
		}
		if strings.HasSuffix(name, "/ci.yml") && !strings.Contains(text, ".ci/run\n") {
			t.Errorf("%s does not run .ci/run", name)
		}
		for _, line := range comment.FindAllStringSubmatch(text, -1) {
			action, _, _ := strings.Cut(line[1], "@")
			if other, ok := pins[action]; ok && other != line[0] {
				t.Errorf("%s: %s, elsewhere %s", name, line[0], other)
			}
			pins[action] = line[0]
		}
	}
}

// Each fault that is looked for is found when it is there.
func TestFaultsOfWorkflows(t *testing.T) {
	t.Parallel()
	good := workflows(t)[".github/workflows/ci.yml"]
	for _, test := range []struct{ from, to, want string }{
		{"contents: read", "contents: write", "permissions are not contents: read"},
		{"permissions:\n  contents: read\n", "", "permissions are not contents: read"},
		{"concurrency:", "env:", "no concurrency group"},
		{"  pull_request:", "  pull_request_target:", "runs with rights on what a stranger wrote"},
		{"timeout-minutes: 60", "timeout-minutes: 600", "a job has no timeout"},
		{"    timeout-minutes: 60\n", "", "a job has no timeout"},
		{"    timeout-minutes: 60", "    timeout-minutes: 60\n    permissions: write-all", "a job has other permissions"},
		{"@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "actions/checkout@v7 is not pinned by a commit"},
		{" # v7.0.1", "", "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 does not say its version"},
		{"persist-credentials: false", "persist-credentials: true", "checkout keeps the token in the checkout"},
		{"- run: sudo", "- run: ${{ github.event.pull_request.title }}", "a script is put together from an expression"},
		{"go-version-file: go.mod", "token: ${{ secrets.TOKEN }}", "uses a secret"},
	} {
		bad := strings.Replace(good, test.from, test.to, 1)
		if bad == good {
			t.Errorf("the workflow has no %q", test.from)
		}
		if got := faults(t, bad); !slices.Contains(got, test.want) {
			t.Errorf("%q in place of %q: %q, want %q", test.to, test.from, got, test.want)
		}
	}
}
