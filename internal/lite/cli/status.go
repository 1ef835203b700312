//go:build linux

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/supervisor"
)

// machineJSON has every field of smolvm 1.9.3, in its order.
type machineJSON struct {
	Name                   string            `json:"name"`
	State                  string            `json:"state"`
	CPUs                   int               `json:"cpus"`
	MemoryMiB              int               `json:"memory_mib"`
	PID                    *int              `json:"pid"`
	Mounts                 int               `json:"mounts"`
	Ports                  int               `json:"ports"`
	CreatedAt              int64             `json:"created_at"`
	StorageGB              *int              `json:"storage_gb"`
	OverlayGB              *int              `json:"overlay_gb"`
	Image                  *string           `json:"image"`
	Entrypoint             []string          `json:"entrypoint"`
	Cmd                    []string          `json:"cmd"`
	Ephemeral              bool              `json:"ephemeral"`
	GPU                    bool              `json:"gpu"`
	GPUVRAMMiB             *int              `json:"gpu_vram_mib"`
	RestartPolicy          string            `json:"restart_policy"`
	RestartMaxRetries      int               `json:"restart_max_retries"`
	RestartCount           int               `json:"restart_count"`
	HealthCmd              *string           `json:"health_cmd"`
	HealthIntervalSecs     *int              `json:"health_interval_secs"`
	HealthTimeoutSecs      *int              `json:"health_timeout_secs"`
	HealthRetries          *int              `json:"health_retries"`
	HealthStartupGraceSecs *int              `json:"health_startup_grace_secs"`
	Network                bool              `json:"network"`
	ForkpointHeld          bool              `json:"forkpoint_held"`
	CUDA                   bool              `json:"cuda"`
	Forkable               bool              `json:"forkable"`
	CUDAForkPoolSize       *int              `json:"cuda_fork_pool_size"`
	CUDAVRAMLimitMiB       *int              `json:"cuda_vram_limit_mib"`
	Labels                 map[string]string `json:"labels"`
	// Components is ours alone: what the machine was started from last.
	Components map[string]string `json:"components,omitempty"`
}

func toJSON(r store.Record, c condition) machineJSON {
	m := machineJSON{
		Name: r.Name, State: c.state, CPUs: r.CPUs, MemoryMiB: r.MemMiB, PID: c.pid,
		CreatedAt: r.CreatedAt, StorageGB: r.StorageGiB, OverlayGB: r.OverlayGiB, Image: r.Image,
		Entrypoint: append([]string{}, r.Entrypoint...), Cmd: append([]string{}, r.Cmd...),
		RestartPolicy: "never", Labels: r.Labels,
	}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	return m
}

func (a *App) status(ctx context.Context, args []string) error {
	flags := a.flags("status", statusHelp)
	name := flags.name()
	asJSON := flags.Bool("json", false, "")
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	m, err := a.look(ctx, *name)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("config operation failed: machine status: machine '%s' not found", *name)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(m)
	}
	if m.State == stateRunning {
		return a.print(fmt.Sprintf("Machine '%s': running (PID: %d)\n", m.Name, *m.PID))
	}
	return a.print(fmt.Sprintf("Machine '%s': %s\n", m.Name, m.State))
}

func (a *App) look(ctx context.Context, name string) (machineJSON, error) {
	_, dir, err := a.open(name)
	if err != nil {
		return machineJSON{}, err
	}
	record, err := dir.ReadRecord()
	if err != nil {
		return machineJSON{}, err
	}
	c, err := inspect(ctx, dir)
	if err != nil {
		return machineJSON{}, err
	}
	m := toJSON(record, c)
	m.Components = components(dir)
	return m, nil
}

// components are the files of a machine's last start, by what they are for; none before it.
func components(dir store.Dir) map[string]string {
	var boot supervisor.Config
	if dir.ReadFile(store.BootFile, &boot) != nil {
		return nil
	}
	return map[string]string{filepath.Base(boot.QEMU): boot.QEMU, "kernel": boot.Spec.Kernel, "initramfs": boot.Spec.Initramfs}
}

// list shows what it can read: one damaged machine hides no other.
func (a *App) list(ctx context.Context, args []string) error {
	flags := a.flags("ls", listHelp)
	asJSON := flags.Bool("json", false, "")
	_ = flags.BoolP("verbose", "v", false, "")
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	machines, err := a.store()
	if err != nil {
		return err
	}
	names, err := machines.Names()
	if err != nil {
		return err
	}
	all := []machineJSON{}
	for _, name := range names {
		m, err := a.look(ctx, name)
		if errors.Is(err, store.ErrNotFound) { // deleted meanwhile
			continue
		}
		if err != nil {
			_, _ = fmt.Fprintf(a.Stderr, "warning: machine '%s': %v\n", name, err)
			m = toJSON(store.Record{Name: name}, condition{state: "failed"})
		}
		all = append(all, m)
	}
	if *asJSON {
		return a.printJSON(all)
	}
	return a.printTable(all)
}

func (a *App) printTable(all []machineJSON) error {
	if len(all) == 0 {
		return a.print("No machines found\n")
	}
	table := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NAME\tSTATE\tCPUS\tMEMORY\tPID")
	for _, m := range all {
		pid := "-"
		if m.PID != nil {
			pid = fmt.Sprint(*m.PID)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d MiB\t%s\n", m.Name, m.State, m.CPUs, m.MemoryMiB, pid)
	}
	return table.Flush()
}

func (a *App) printJSON(value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return a.print(string(text) + "\n")
}

func (a *App) dataDir(_ context.Context, args []string) error {
	flags := a.flags("data-dir", dataDirHelp)
	name := flags.name()
	if err := flags.parse(args, 0); err != nil {
		return err
	}
	_, dir, err := a.open(*name)
	if err != nil {
		return err
	}
	return a.print(string(dir) + "\n")
}
