// Package kubernetes writes a plan as manifests for a cluster: what a start does on one
// machine, as objects that a cluster keeps.
//
// It keeps these invariants:
//   - [Render] is pure: the same plan gives the same bytes.
//   - No secret is in what it writes: a credential is the name of a Secret, and what the
//     comment at the head says about making it is the name of its source.
//   - The agent's Pod is a VM of its own, without DNS, without an account and without a
//     credential, whose one way out is the gate of its bundle's Pod. It does not start where
//     the network policies are not in force.
//   - Default deny both ways comes before everything else that is applied.
//   - What a cluster cannot keep is an error, never left out in silence: see [Carry].
package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/provision"
)

// Options are what the person chooses.
type Options struct {
	Namespace    string // empty: as kubectl says
	RuntimeClass string // of the agent's Pod
	Images       Images
}

// Images are references that the cluster's nodes can pull.
type Images struct{ Agent, Bundle, Overseer string }

var (
	objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	imageRef   = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9._:/@-]{0,250}$`)
)

// check refuses what would be an object that no cluster takes.
func (o Options) check() error {
	switch {
	case o.Namespace != "" && !objectName.MatchString(o.Namespace):
		return fmt.Errorf("the namespace %.80q: small letters, digits and dashes, at most 63", o.Namespace)
	case !objectName.MatchString(o.RuntimeClass):
		return fmt.Errorf("the runtime class %.80q: small letters, digits and dashes, at most 63", o.RuntimeClass)
	}
	for _, image := range []string{o.Images.Agent, o.Images.Bundle, o.Images.Overseer} {
		if !imageRef.MatchString(image) {
			return fmt.Errorf("the image %.300q is no reference", image)
		}
	}
	return nil
}

// File is one file of the manifests.
type File struct {
	Name string
	Data []byte
}

// Bytes are all files as one stream of documents.
func Bytes(files []File) []byte {
	var all bytes.Buffer
	for i, file := range files {
		if i > 0 {
			all.WriteString("---\n")
		}
		all.Write(file.Data)
	}
	return all.Bytes()
}

type renderer struct {
	plan    plan.Plan // with the sources as the overseer finds them
	options Options
	outfit  provision.Rendered
}

// Render writes the manifests, in the order in which they are applied. The prompt's text is
// given, wherever it came from.
func Render(p plan.Plan, outfit provision.Rendered, options Options) ([]File, error) {
	if err := errors.Join(Carry(p), options.check()); err != nil {
		return nil, err
	}
	rewritten, references := overseers(p)
	r := renderer{plan: rewritten, options: options, outfit: outfit}
	network := r.network()
	bundle, err := r.bundle(references)
	if err != nil {
		return nil, err
	}
	agent, err := r.agent()
	if err != nil {
		return nil, err
	}
	for _, env := range p.Env {
		if env.Visible() {
			references = append(references, envOf(env))
		}
	}
	files := []File{{Name: "10-network.yaml", Data: []byte(r.howTo(references))}, {Name: "20-bundle.yaml"}, {Name: "30-agent.yaml"}}
	for i, objects := range [][]object{network, bundle, agent} {
		text, err := r.documents(objects)
		if err != nil {
			return nil, err
		}
		files[i].Data = append(files[i].Data, text...)
	}
	return files, nil
}

// CarryError lists why a plan cannot run in a cluster.
type CarryError struct{ Problems []string }

func (e *CarryError) Error() string {
	return "a cluster cannot run this bottle: " + strings.Join(e.Problems, "; ")
}

// HintLines says what carries over.
func (e *CarryError) HintLines() []string { return []string{"see docs/scale.md for what carries over"} }

// Carry refuses a plan that a cluster cannot keep.
func Carry(p plan.Plan) error {
	var problems []string
	if len(p.Echo) > 0 {
		problems = append(problems, "its echo upstream is a container on this machine")
	}
	if p.Firewall.Engine != "builtin" {
		problems = append(problems, "the firewall "+p.Firewall.Engine+" is a program of this machine")
	}
	if len(p.Skills) > 0 {
		problems = append(problems, "its skills are directories of this machine")
	}
	if p.Workspace != nil {
		problems = append(problems, "its workspace is a directory of this machine")
	}
	if p.Workdir != guestapi.AgentHome && !strings.HasPrefix(p.Workdir, guestapi.AgentHome+"/") {
		problems = append(problems, "its workdir is not in "+guestapi.AgentHome)
	}
	if len(problems) > 0 {
		return &CarryError{problems}
	}
	return nil
}

// The two Pods of a bottle.
const (
	kindLabel  = "bottle.kind"
	kindBundle = "bundle"
	kindAgent  = "agent"
)

// name is that of the bottle's objects.
func (r *renderer) name(part string) string {
	name := "bottle-" + r.plan.Identity
	if part != "" {
		name += "-" + part
	}
	return name
}

func (r *renderer) secret(part string) string { return r.name(part) }

// labels are those of one Pod; its selectors have two of them.
func (r *renderer) labels(kind string) map[string]string {
	labels := maps.Clone(r.plan.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["bottle.identity"] = r.plan.Identity
	if kind != "" {
		labels[kindLabel] = kind
	}
	return labels
}

func (r *renderer) selector(kind string) selector {
	labels := map[string]string{"bottle.identity": r.plan.Identity}
	if kind != "" {
		labels[kindLabel] = kind
	}
	return selector{labels}
}

func (r *renderer) object(version, kind, part string) object {
	return object{
		APIVersion: version, Kind: kind,
		Metadata: meta{Name: r.name(part), Namespace: r.options.Namespace, Labels: r.labels("")},
	}
}

func (r *renderer) documents(objects []object) ([]byte, error) {
	var all bytes.Buffer
	for i, o := range objects {
		text, err := yaml.MarshalWithOptions(o, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
		if err != nil {
			return nil, fmt.Errorf("writing the %s %s: %w", o.Kind, o.Metadata.Name, err)
		}
		if i > 0 {
			all.WriteString("---\n")
		}
		all.Write(text)
	}
	return all.Bytes(), nil
}

// literal keeps the kubelet from taking $(NAME) in a text for a variable of its own.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// ports are the guest's, in order.
func (r *renderer) ports() []int {
	var list []int
	for _, port := range r.plan.Ports {
		list = append(list, port.Guest)
	}
	return slices.Sorted(slices.Values(list))
}
