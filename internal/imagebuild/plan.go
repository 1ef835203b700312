package imagebuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild/layer"
)

// Selection says which image of a recipe is wanted.
type Selection struct {
	Platform Platform
	Tools    []string                // of the recipe's [[npm]]; the others are left out
	Supplied map[string]SuppliedFile // by the name in [[supplied]]; the others are left out
}

// SuppliedFile is an operator's program on the disk.
type SuppliedFile struct {
	Path   string
	Size   int64
	SHA256 string // hex; the layer is refused when the file has another
}

// KeyPart is one thing that a recipe key was made of.
type KeyPart struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Job is a planned image.
type Job struct {
	builder   *Builder
	recipe    *Recipe
	chosen    choice
	selection Selection
	layers    []layerPlan
	parts     []KeyPart
}

// layerPlan is one layer of ours: a key, and how to make it when the store lacks it.
type layerPlan struct {
	name   string
	key    string
	onBase bool // make looks at the base; for the others it is nil
	make   func(context.Context, *base) (*layer.Layer, error)
}

// Plan computes what the image would be. It builds our programs, whose digests are in
// the key, and reads the recipe's files; the first time it also chooses the base. It
// downloads no package and no layer.
func (b *Builder) Plan(ctx context.Context, recipe *Recipe, selection Selection) (*Job, error) {
	if err := b.checkSelection(recipe, selection); err != nil {
		return nil, err
	}
	chosen, err := b.choose(ctx, recipe, selection.Platform, false)
	if err != nil {
		return nil, err
	}
	job := &Job{builder: b, recipe: recipe, chosen: chosen, selection: selection}
	job.add("format", layer.Format)
	job.add("platform", selection.Platform.String())
	job.add("base", chosen.String()+" "+chosen.key(selection.Platform.String()))
	if err := job.plan(ctx); err != nil {
		return nil, fmt.Errorf("planning the image %s: %w", recipe.Name, err)
	}
	for _, one := range job.layers {
		job.add("layer "+one.name, one.key)
	}
	config, err := json.Marshal([]any{recipe.Env, recipe.Cmd, recipe.Workdir})
	if err != nil {
		return nil, err
	}
	job.add("config", string(config))
	return job, nil
}

func (b *Builder) checkSelection(recipe *Recipe, selection Selection) error {
	if selection.Platform.OS != "linux" || !slices.Contains(architectures(), selection.Platform.Architecture) {
		return fmt.Errorf("images are made for linux/amd64 and linux/arm64, not for %s", selection.Platform.String())
	}
	for _, tool := range selection.Tools {
		i := slices.Index(recipe.Tools(), tool)
		if i < 0 {
			return fmt.Errorf("the image %s has no tool %q; it has: %s", recipe.Name, tool, strings.Join(recipe.Tools(), ", "))
		}
		if _, ok := b.tarball(recipe.Npm[i], selection.Platform); !ok {
			return fmt.Errorf("the tool %s is not pinned for %s\ngo tool mage update", tool, selection.Platform.String())
		}
	}
	return nil
}

func (j *Job) add(name, value string) { j.parts = append(j.parts, KeyPart{Name: name, Value: value}) }

// Key is the recipe key, hex sha256: equal keys give equal images.
func (j *Job) Key() string {
	hash := sha256.New()
	for _, part := range j.parts {
		fmt.Fprintf(hash, "%q=%q\n", part.Name, part.Value)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Explain lists what the key was made of.
func (j *Job) Explain() []KeyPart { return slices.Clone(j.parts) }

// Base is the chosen base, for people.
func (j *Job) Base() string { return j.chosen.String() }

// plan lists the layers, those that change seldom first.
func (j *Job) plan(ctx context.Context) error {
	for _, tool := range j.recipe.Npm {
		if slices.Contains(j.selection.Tools, tool.Tool) {
			j.layers = append(j.layers, j.planNpm(tool))
		}
	}
	if j.recipe.Roots != "" {
		entries := []layer.Entry{layer.File(j.recipe.Roots[1:], 0o644, mozillaRoots())}
		key, err := contentKey(entries)
		if err != nil {
			return err
		}
		j.entries("ca-roots", key, entries)
	}
	if len(j.recipe.Users)+len(j.recipe.Dirs) > 0 {
		j.layers = append(j.layers, j.planAccounts())
	}
	for _, files := range j.recipe.Files {
		entries, err := j.recipe.fileEntries(files)
		if err != nil {
			return err
		}
		key, err := j.filesKey(entries)
		if err != nil {
			return fmt.Errorf("reading the files of the recipe: %w", err)
		}
		j.entries("files "+files.From, key, entries)
	}
	for _, supplied := range j.recipe.Supplied {
		if file, ok := j.selection.Supplied[supplied.Name]; ok {
			j.layers = append(j.layers, j.planSupplied(supplied, file))
		}
	}
	return j.planPrograms(ctx)
}

// planSupplied is a layer of one program, which is checked again while it is read.
func (j *Job) planSupplied(supplied Supplied, file SuppliedFile) layerPlan {
	key := hashJSON("supplied 1", layer.Format, supplied.To, file.SHA256)
	entry := layer.File(supplied.To[1:], 0o755, nil)
	entry.Size = file.Size
	entry.Open = func() (io.ReadCloser, error) { return openVerified(file) }
	return layerPlan{name: "supplied " + supplied.Name, key: key, make: func(ctx context.Context, _ *base) (*layer.Layer, error) {
		return j.builder.store.FromTar(ctx, layer.Source{Key: key, Name: supplied.Name, Fill: func(_ context.Context, w io.Writer) error {
			return layer.Write(w, []layer.Entry{entry})
		}})
	}}
}

// openVerified reads the whole program first: its bytes must not change after the check.
func openVerified(file SuppliedFile) (io.ReadCloser, error) {
	data, err := os.ReadFile(file.Path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != file.SHA256 {
		return nil, fmt.Errorf("%s has changed: its sha256 is not %s any more", file.Path, file.SHA256)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// entries plans a layer of files that are at hand; key is their [contentKey], which is
// compared again when the layer is made.
func (j *Job) entries(name, key string, entries []layer.Entry) {
	if len(entries) == 0 {
		return
	}
	j.layers = append(j.layers, layerPlan{name: name, key: key, make: func(ctx context.Context, _ *base) (*layer.Layer, error) {
		return j.builder.store.FromTar(ctx, layer.Source{Key: key, Name: name, Fill: func(_ context.Context, w io.Writer) error {
			hash := newContentHash()
			if err := layer.Write(io.MultiWriter(w, hash), entries); err != nil {
				return err
			}
			if hex.EncodeToString(hash.Sum(nil)) != key {
				return errors.New("the files changed while the image was made")
			}
			return nil
		}})
	}})
}

// contentKey is the hash of the tar itself.
func contentKey(entries []layer.Entry) (string, error) {
	hash := newContentHash()
	err := layer.Write(hash, entries)
	return hex.EncodeToString(hash.Sum(nil)), err
}

func newContentHash() hash.Hash {
	hash := sha256.New()
	_, _ = io.WriteString(hash, layer.Format+"\n")
	return hash
}

func (j *Job) planAccounts() layerPlan {
	key := hashJSON("accounts 1", layer.Format, j.chosen.key(j.selection.Platform.String()), j.recipe.Users, j.recipe.Dirs)
	return layerPlan{name: "accounts", key: key, onBase: true, make: func(ctx context.Context, below *base) (*layer.Layer, error) {
		return j.builder.store.FromTar(ctx, layer.Source{Key: key, Name: "accounts", Fill: func(_ context.Context, w io.Writer) error {
			return layer.Write(w, accountEntries(j.recipe, below.record.Files))
		}})
	}}
}

// planPrograms builds our programs and plans one layer of them.
func (j *Job) planPrograms(ctx context.Context) error {
	var entries []layer.Entry
	var digests []string
	for _, program := range j.recipe.Programs {
		built, err := j.builder.config.Programs.Build(ctx, gobuild.Target{
			Package: program.Package, Name: path.Base(program.To), OS: j.selection.Platform.OS, Arch: j.selection.Platform.Architecture,
		})
		if err != nil {
			return err
		}
		entry := layer.File(program.To[1:], 0o755, nil)
		entry.Size = built.Size
		entry.Open = func() (io.ReadCloser, error) { return os.Open(built.Path) }
		entries = append(entries, entry)
		digests = append(digests, program.To+" "+built.SHA256)
	}
	if len(entries) == 0 {
		return nil
	}
	key := hashJSON("programs 1", layer.Format, digests)
	j.layers = append(j.layers, layerPlan{name: "programs", key: key, make: func(ctx context.Context, _ *base) (*layer.Layer, error) {
		return j.builder.store.FromTar(ctx, layer.Source{Key: key, Name: "programs", Fill: func(_ context.Context, w io.Writer) error {
			return layer.Write(w, entries)
		}})
	}})
	return nil
}

// hashJSON is a key of values that JSON shows whole.
func hashJSON(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("imagebuild: a key of something that JSON cannot show: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
