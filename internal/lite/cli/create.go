//go:build linux

package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/lite/pack"
	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/vm"
)

const (
	defaultCPUs    = 4
	defaultMem     = 8192 // MiB
	minMem         = 64
	defaultOverlay = 10 // GiB
	maxSockets     = 64
)

type createFlags struct {
	name, from, image, workdir string
	cpus                       cpuValue
	mem, storage, overlay      sizeValue
	env, sockets, labels       []string
}

func (a *App) createFlags() (*flagSet, *createFlags) {
	f, c := a.flags("create", createHelp), &createFlags{cpus: defaultCPUs}
	c.mem, c.storage, c.overlay = sizeValue{n: defaultMem, min: minMem}, sizeValue{min: 1}, sizeValue{n: defaultOverlay, min: 1}
	f.StringVarP(&c.name, "name", "n", "", "")
	f.StringVar(&c.from, "from", "", "")
	f.StringVarP(&c.image, "image", "I", "", "")
	f.Var(&c.cpus, "cpus", "")
	f.Var(&c.mem, "mem", "")
	f.Var(&c.storage, "storage", "")
	f.Var(&c.overlay, "overlay", "")
	f.StringArrayVarP(&c.env, "env", "e", nil, "")
	f.StringVarP(&c.workdir, "workdir", "w", "", "")
	f.StringArrayVar(&c.sockets, "mount-socket", nil, "")
	f.StringArrayVar(&c.labels, "label", nil, "")
	return f, c
}

func (a *App) create(ctx context.Context, args []string) error {
	flags, c := a.createFlags()
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	switch {
	case c.from != "" && c.image != "":
		return &usageError{"the argument '--from <PATH>' cannot be used with '--image <IMAGE>'"}
	case c.from == "" && c.image == "":
		return errors.New("smolvm-lite needs an image: pass --from PATH or --image ARCHIVE")
	}
	if c.name == "" {
		c.name = "vm-" + strings.ToLower(rand.Text()[:8])
	}
	record, err := a.newRecord(c)
	if err != nil {
		return fmt.Errorf("config operation failed: create machine: %w", err)
	}
	if err := a.addMachine(ctx, c, &record); err != nil {
		if errors.Is(err, store.ErrExists) {
			return fmt.Errorf("config operation failed: create machine: machine '%s' already exists", c.name)
		}
		return fmt.Errorf("config operation failed: create machine: %w", err)
	}
	return a.print(fmt.Sprintf("Created machine: %s\n  CPUs: %d, Memory: %d MiB\n\n"+
		"Use 'smolvm-lite machine start --name %[1]s' to start the machine\n"+
		"Then use 'smolvm-lite machine exec --name %[1]s -- <command>' to run commands\n",
		record.Name, record.CPUs, record.MemMiB))
}

// newRecord checks everything that needs no image.
func (a *App) newRecord(c *createFlags) (store.Record, error) {
	if err := store.ValidateName(c.name); err != nil {
		return store.Record{}, err
	}
	sockets, err := parseSockets(c.sockets)
	if err != nil {
		return store.Record{}, err
	}
	labels, err := parseLabels(c.labels)
	if err != nil {
		return store.Record{}, err
	}
	return store.Record{
		Name: c.name, CPUs: int(c.cpus), MemMiB: c.mem.n,
		StorageGiB: c.storage.pointer(), OverlayGiB: c.overlay.pointer(),
		Env: a.expandEnv(c.env), Workdir: c.workdir, Sockets: sockets, Labels: labels,
	}, nil
}

// addMachine completes the record from the image and makes the disks.
func (a *App) addMachine(ctx context.Context, c *createFlags, record *store.Record) error {
	machines, err := a.store()
	if err != nil {
		return err
	}
	if c.from != "" {
		manifest, err := pack.ReadManifest(c.from)
		if err != nil {
			return err
		}
		if err := a.print("Extracting .smolmachine assets...\n"); err != nil {
			return err
		}
		if manifest.Platform != "linux/"+goarch {
			return fmt.Errorf("%s is for %s, this host runs linux/%s", c.from, manifest.Platform, goarch)
		}
		source, err := store.SourceOf(c.from)
		if err != nil {
			return err
		}
		record.Source = &source
		applyManifest(record, manifest, c)
		return machines.Create(*record, func(dir store.Dir) error { return makeDisks(ctx, c, dir) })
	}
	if info, err := os.Stat(c.image); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("--image %s: smolvm-lite takes only a 'docker save' archive here\n"+
			"  for an image of a registry: smolvm-lite pack create --image REF --output X, then --from X.smolmachine", c.image)
	}
	// The config is needed before the disk exists, the disk only inside of the new directory.
	manifest, err := pack.DescribeArchive(c.image, "linux/"+goarch)
	if err != nil {
		return err
	}
	applyManifest(record, manifest, c)
	return machines.Create(*record, func(dir store.Dir) error { return makeDisks(ctx, c, dir) })
}

// applyManifest keeps smolvm's rule: with --from, 4 processors and 8192 MiB mean "as packed".
func applyManifest(record *store.Record, m pack.Manifest, c *createFlags) {
	record.Image = &m.Image
	record.Entrypoint, record.Cmd = m.Entrypoint, m.Cmd
	record.Env = append(append([]string{}, m.Env...), record.Env...)
	if c.from == "" {
		if record.Workdir == "" {
			record.Workdir = m.Workdir
		}
		return
	}
	record.Workdir = m.Workdir
	if m.CPUs > 0 && record.CPUs == defaultCPUs {
		record.CPUs = m.CPUs
	}
	if m.Mem >= minMem && record.MemMiB == defaultMem {
		record.MemMiB = m.Mem
	}
}

func makeDisks(ctx context.Context, c *createFlags, dir store.Dir) error {
	if err := vm.NewOverlay(ctx, dir.Path(store.OverlayFile), c.overlay.n); err != nil {
		return err
	}
	if c.image == "" {
		return nil // it boots from the artifact where that lies
	}
	return pack.FromArchive(ctx, c.image, dir.Path(store.ImageFile))
}

// parseSockets splits at the last colon: the guest's path is absolute and has none.
func parseSockets(specs []string) ([]store.Socket, error) {
	if len(specs) > maxSockets {
		return nil, fmt.Errorf("at most %d sockets can be mounted", maxSockets)
	}
	sockets, seen := []store.Socket{}, map[string]bool{}
	for _, spec := range specs {
		colon := strings.LastIndexByte(spec, ':')
		if colon <= 0 || !filepath.IsAbs(spec[colon+1:]) || strings.ContainsAny(spec, ";|") {
			return nil, fmt.Errorf("invalid --mount-socket '%s': expected HOST:GUEST with an absolute guest path", spec)
		}
		host, err := filepath.Abs(spec[:colon])
		if err != nil {
			return nil, fmt.Errorf("invalid --mount-socket '%s': %w", spec, err)
		}
		guest := filepath.Clean(spec[colon+1:])
		if len(guest) > 107 {
			return nil, fmt.Errorf("invalid --mount-socket '%s': the guest path is longer than 107 bytes", spec)
		}
		if seen[guest] {
			return nil, fmt.Errorf("invalid --mount-socket '%s': the guest path is used twice", spec)
		}
		seen[guest] = true
		sockets = append(sockets, store.Socket{Host: host, Guest: guest})
	}
	return sockets, nil
}

func parseLabels(specs []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, spec := range specs {
		key, value, ok := strings.Cut(spec, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("invalid --label '%s': expected KEY=VALUE", spec)
		}
		labels[key] = value
	}
	return labels, nil
}
