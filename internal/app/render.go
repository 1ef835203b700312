package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/link"
	"bottle.internal/internal/names"
	"bottle.internal/internal/outfit"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/render/kubernetes"
	"bottle.internal/pkg/provision"
)

// tagLength is how much of a recipe's key an image's tag has.
const tagLength = 32

// RenderRequest is what was asked for.
type RenderRequest struct {
	Plan         PlanRequest
	Namespace    string
	RuntimeClass string
	Registry     string // where the cluster finds the images, with the path
}

// RenderKubernetes writes a plan as manifests. It builds no image and reads no secret.
func (a *App) RenderKubernetes(ctx context.Context, request RenderRequest) ([]kubernetes.File, plan.Plan, error) {
	p, err := a.Plan(ctx, request.Plan)
	if err != nil {
		return nil, plan.Plan{}, err
	}
	if err := kubernetes.Carry(p); err != nil {
		return nil, plan.Plan{}, err
	}
	prompt, err := a.promptText(p.Prompt)
	if err != nil {
		return nil, plan.Plan{}, fmt.Errorf("reading the prompt: %w", err)
	}
	files, err := provision.Render(outfit.Of(p, prompt))
	if err != nil {
		return nil, plan.Plan{}, err
	}
	bundle, err := a.job(ctx, bundleRecipe, nil)
	if err != nil {
		return nil, plan.Plan{}, err
	}
	image := func(name, key string) string {
		return request.Registry + "/" + name + ":" + key[:min(len(key), tagLength)]
	}
	rendered, err := kubernetes.Render(p, files, kubernetes.Options{
		Namespace: request.Namespace, RuntimeClass: request.RuntimeClass,
		Images: kubernetes.Images{
			Agent: image("agent", p.Image.Key), Bundle: image("bundle", bundle.Key()), Overseer: image("overseer", bundle.Key()),
		},
	})
	return rendered, p, err
}

// keyLifetime is how long the keys of a bottle in a cluster are valid, as those of a launch.
const keyLifetime = 7 * 24 * time.Hour

// RenderKeys makes the keys that belong to one bottle alone, as files in dir that only their
// owner can read. None of them is there before.
func (a *App) RenderKeys(identity, dir string) error {
	id, err := names.ParseIdentity(identity)
	if err != nil {
		return &Problem{Err: err, Hints: []string{"it is in the first line of what bottle render kubernetes wrote"}}
	}
	authority, err := ca.New("bottle "+string(id), keyLifetime, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(
		writeNew(filepath.Join(dir, "key"), key.Reveal(), 0o600),
		writeNew(filepath.Join(dir, "tls.crt"), authority.CertPEM(), 0o600),
		writeNew(filepath.Join(dir, "tls.key"), []byte(authority.KeyPEM().Reveal()), 0o600),
	)
}
