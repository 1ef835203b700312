package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/event"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagepack"
	"bottle.internal/internal/verifybuild"
)

// VerifyBuildRequest is what was asked for.
type VerifyBuildRequest struct {
	Agents      []string // whose tools are in the image; none: the demo's
	KeepBase    bool     // do not make the base again, which takes minutes
	KeepGoCache bool     // do not compile again what Go has in its cache, only link
}

// BuildReport says what was made twice.
type BuildReport struct {
	Rows  []verifybuild.Row `json:"rows"`
	Notes []string          `json:"notes"` // what was not made again, and why
}

// VerifyBuild makes our programs and images once more, from a copy of the checkout in another
// directory, with other times, into an empty cache, and compares them with what is in the
// cache. Packs are the VM tool's work, and not compared.
func (a *App) VerifyBuild(ctx context.Context, request VerifyBuildRequest) (report BuildReport, err error) {
	if a.source == "" {
		return BuildReport{}, noCheckout("our programs are built from the checkout of bottle, which was not found")
	}
	sets, err := a.toolsOf(request.Agents)
	if err != nil {
		return BuildReport{}, err
	}
	if err := os.MkdirAll(a.dirs.cache, 0o700); err != nil {
		return BuildReport{}, err
	}
	unlock, err := diskcache.Lock(ctx, filepath.Join(a.dirs.cache, "locks", "verify"))
	if err != nil {
		return BuildReport{}, err
	}
	defer unlock()
	dir := filepath.Join(a.dirs.cache, "verify")
	if err := removeAll(dir); err != nil { // of a run that was killed
		return BuildReport{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return BuildReport{}, err
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	again := rebuild{App: a, dir: dir, source: filepath.Join(dir, "copy of bottle"), request: request}
	if err := copyCheckout(again.source, a.source); err != nil {
		return BuildReport{}, fmt.Errorf("copying the checkout: %w", err)
	}
	if err := again.programs(ctx); err != nil {
		return BuildReport{}, err
	}
	for _, tools := range sets {
		if err := again.image(ctx, agentRecipe, tools); err != nil {
			return BuildReport{}, err
		}
	}
	err = again.image(ctx, bundleRecipe, nil)
	return again.report, err
}

// rebuild is one run of VerifyBuild.
type rebuild struct {
	*App

	dir, source string
	request     VerifyBuildRequest
	report      BuildReport
	second      *imagebuild.Builder // nil until the base is there
}

func (r *rebuild) note(text string) {
	if !slices.Contains(r.report.Notes, text) {
		r.report.Notes = append(r.report.Notes, text)
	}
}

// gobuilder builds the copy, in another time zone.
func (r *rebuild) gobuilder() *gobuild.Builder {
	env := append(slices.Clone(r.config.Environ), "TZ=Pacific/Kiritimati")
	if !r.request.KeepGoCache {
		env = append(env, "GOCACHE="+filepath.Join(r.dir, "go-build"))
	}
	return &gobuild.Builder{Root: r.source, CacheDir: filepath.Join(r.dir, "cache"), Env: env}
}

// programs compares all that is ours and static.
func (r *rebuild) programs(ctx context.Context) error {
	packages := []string{guestPackage, "./images/bundle"}
	if r.config.OS == "linux" {
		packages = append(packages, "./cmd/smolvm-lite", "./cmd/lite-init")
	}
	if r.request.KeepGoCache {
		r.note("what Go had compiled was taken as it is; only the linker worked again")
	}
	for _, pkg := range packages {
		target := gobuild.Target{Package: pkg, Name: filepath.Base(pkg), OS: "linux", Arch: r.config.Arch}
		recorded, err := r.App.programs().Build(ctx, target)
		if err != nil {
			return err
		}
		rebuilt, err := r.gobuilder().Build(ctx, target)
		if err != nil {
			return err
		}
		row, err := verifybuild.Files("program "+pkg, recorded.Path, rebuilt.Path)
		if err != nil {
			return err
		}
		r.report.Rows = append(r.report.Rows, row)
	}
	return nil
}

// image compares one image, and what the pack cache says of it.
func (r *rebuild) image(ctx context.Context, name string, tools []string) error {
	job, err := r.job(ctx, name, tools)
	if err != nil {
		return err
	}
	title := strings.Join(append([]string{name}, tools...), "-")
	known, err := r.store(nil).Identify(ctx, imagepack.Image{Name: name, Key: job.Key(), Build: job.Build})
	if err != nil {
		return err
	}
	recorded, err := job.Build(ctx)
	if err != nil {
		return err
	}
	second, err := r.planAgain(ctx, name, tools)
	if err != nil {
		return err
	}
	rebuilt, err := second.Build(ctx)
	if err != nil {
		return err
	}
	rows, err := verifybuild.Images(title, recorded, rebuilt)
	if err != nil {
		return err
	}
	digest, err := rebuilt.Digest()
	r.report.Rows = append(append(r.report.Rows, rows...), verifybuild.Row{What: title + ": as packed", Recorded: known.Digest, Rebuilt: digest.String()})
	return err
}

// planAgain plans an image from the copy, with a base that is made again where it can be.
func (r *rebuild) planAgain(ctx context.Context, name string, tools []string) (*imagebuild.Job, error) {
	recipe, err := imagebuild.LoadRecipe(os.DirFS(filepath.Join(r.source, "images")), name)
	if err != nil {
		return nil, err
	}
	selection := imagebuild.Selection{Platform: guestPlatform(), Tools: tools}
	if name == bundleRecipe {
		if selection.Supplied, err = r.supplied(); err != nil {
			return nil, err
		}
	}
	if r.second == nil {
		if r.second, err = r.builderAgain(ctx, recipe); err != nil {
			return nil, err
		}
	}
	return r.second.Plan(ctx, recipe, selection)
}

func (r *rebuild) builderAgain(ctx context.Context, recipe *imagebuild.Recipe) (*imagebuild.Builder, error) {
	lock, err := r.lock()
	if err != nil {
		return nil, err
	}
	again := imagebuild.Again{
		CacheDir: filepath.Join(r.dir, "cache"), Root: filepath.Join(r.source, "images"), Programs: r.gobuilder(), Bases: r.request.KeepBase,
	}
	first := r.builder(lock)
	if r.request.KeepBase {
		r.note("the base was not made again: that was asked for")
		return first.Again(again)
	}
	second, err := first.Again(again)
	if err != nil {
		return nil, err
	}
	if _, err = second.Base(ctx, recipe, guestPlatform(), false); err == nil || !imagebuild.Moved(err) {
		return second, err
	}
	r.events.Send(ctx, event.Event{Kind: event.Warn, Step: "base", Text: err.Error()})
	r.note("the base was not made again: the mirror has other packages now, and the old ones are gone from it")
	again.CacheDir, again.Bases = filepath.Join(r.dir, "cache with base"), true
	return first.Again(again)
}

// copyCheckout copies the files of a checkout, but nothing hidden, with times of long ago.
func copyCheckout(to, from string) (err error) {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	target, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	long := time.Date(2001, time.September, 9, 1, 46, 40, 0, time.UTC)
	source := os.DirFS(from)
	return fs.WalkDir(source, ".", func(name string, found fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case strings.HasPrefix(found.Name(), ".") && found.IsDir():
			return fs.SkipDir
		case found.IsDir():
			return target.Mkdir(name, 0o700)
		case !found.Type().IsRegular():
			return nil
		}
		content, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		return errors.Join(target.WriteFile(name, content, 0o600), target.Chtimes(name, long, long))
	})
}

// removeAll takes away what Go has put there without the right to remove it.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(path string, found fs.DirEntry, err error) error {
		if err == nil && found.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a directory of ours
		}
		return nil
	})
	return os.RemoveAll(dir)
}
