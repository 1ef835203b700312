package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/render/kubernetes"
)

func renderCommand() command {
	return command{
		name: "render", args: "kubernetes AGENT | keys IDENTITY",
		summary: "write a plan as manifests for a cluster",
		help: `The manifests name Secrets and have none; the comment at their head says how to make
each. docs/scale.md says what a cluster must provide and what carries over.

  bottle render kubernetes claude
  bottle render kubernetes claude --namespace=agents --runtime-class=kata-qemu --output=manifests
  bottle render kubernetes claude --identity=claude-x7k2p    the same bytes again
  bottle render keys claude-x7k2p --output=keys    the keys of this bottle alone`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			o := renderOptions{mode: promptModeFlag(flags)}
			flags.StringVar(&o.request.Namespace, "namespace", "", "the `namespace` of all objects; empty: as kubectl says")
			flags.StringVar(&o.request.RuntimeClass, "runtime-class", "kata", "the RuntimeClass `name` whose Pods are microVMs")
			flags.StringVar(&o.request.Registry, "registry", "registry.example.com/bottle", "where the cluster finds the images: `HOST/PATH`")
			flags.StringVar(&o.identity, "identity", "", "the `identity`, to write the same again; empty: a new one")
			flags.StringVar(&o.output, "output", "-", "a `directory`, or - for stdout")
			return func(ctx context.Context, s *session) error { return s.render(ctx, o) }
		},
	}
}

type renderOptions struct {
	request          app.RenderRequest
	mode             *string
	identity, output string
}

func (s *session) render(ctx context.Context, o renderOptions) error {
	if len(s.args) != 2 {
		return &usageError{text: "want kubernetes AGENT, or keys IDENTITY"}
	}
	switch s.args[0] {
	case "kubernetes":
		return s.renderKubernetes(ctx, s.args[1], o)
	case "keys":
		if o.output == "-" {
			return &usageError{text: "keys are not printed: --output DIR", hints: []string{"bottle render keys " + shellWord(s.args[1]) + " --output=keys"}}
		}
		return s.app.RenderKeys(s.args[1], o.output)
	}
	return &usageError{text: fmt.Sprintf("there is nothing to render for %.40q: kubernetes or keys", s.args[0])}
}

func (s *session) renderKubernetes(ctx context.Context, agent string, o renderOptions) (err error) {
	mode, err := promptMode(*o.mode)
	if err != nil {
		return err
	}
	if mode == plan.PromptAuto {
		mode = plan.PromptBatch // nobody sits in front of a Job
	}
	o.request.Plan = app.PlanRequest{Agent: agent, Prompt: mode}
	if o.identity != "" {
		if o.request.Plan.Identity, err = names.ParseIdentity(o.identity); err != nil {
			return &usageError{text: err.Error()}
		}
	}
	files, p, err := s.app.RenderKubernetes(ctx, o.request)
	if err != nil {
		return err
	}
	for _, warning := range p.Warnings {
		fmt.Fprintln(s.Stderr, "warning: "+warning)
	}
	if o.output == "-" {
		_, err := s.Stdout.Write(kubernetes.Bytes(files))
		return err
	}
	return writeManifests(o.output, files)
}

func writeManifests(dir string, files []kubernetes.File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var problems []error
	for _, file := range files {
		problems = append(problems, os.WriteFile(filepath.Join(dir, file.Name), file.Data, 0o644))
	}
	return errors.Join(problems...)
}

func overseeCommand() command {
	return command{
		name:    "oversee",
		summary: "be the host of a bundle in a cluster; the manifests run this",
		help: `It reads the plan, the keys and the mounted Secrets of its Pod, tells every daemon its
part and answers what they ask, as a start does on one machine.

  bottle oversee`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				return s.app.Oversee(ctx, app.ClusterPlaces())
			}
		},
	}
}
