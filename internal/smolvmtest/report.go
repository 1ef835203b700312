package smolvmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// describe has the fields of the contract's section 2.2 in this release.
func (t *fakeTool) describe(m *machine) map[string]any {
	fields := map[string]any{
		"name": m.Name, "state": m.stateName(), "cpus": m.CPUs, "memory_mib": m.MemMiB, "pid": nil,
		"mounts": 0, "ports": 0, "created_at": m.Created, "storage_gb": m.Storage, "overlay_gb": m.Overlay,
		"image": nil, "entrypoint": []string{}, "cmd": append([]string{}, m.Cmd...), "ephemeral": false, "gpu": false, "gpu_vram_mib": nil,
		"restart_policy": "never", "restart_max_retries": 0, "restart_count": 0, "health_cmd": nil,
		"health_interval_secs": nil, "health_timeout_secs": nil, "health_retries": nil, "health_startup_grace_secs": nil,
		"network": m.Network,
	}
	if m.PID != 0 { // of the record: it stays when the process is gone
		fields["pid"] = m.PID
	}
	if t.version.atLeast("1.7.2") {
		fields["forkpoint_held"] = false
	}
	if t.version.atLeast("1.8.0") {
		fields["labels"], fields["cuda"], fields["forkable"] = m.Labels, false, false
		fields["cuda_fork_pool_size"], fields["cuda_vram_limit_mib"] = nil, nil
	}
	return fields
}

func (t *fakeTool) status(line parsed) error {
	name := line.last("--name")
	return t.store.update(func(s *state) error {
		m := s.Machines[name]
		switch {
		case m == nil:
			return fmt.Errorf("config operation failed: machine status: machine '%s' not found", name)
		case line.has("--json"):
			return printJSON(t.describe(m))
		}
		fmt.Printf("Machine '%s': %s\n", name, m.stateName())
		return nil
	})
}

func (t *fakeTool) dataDir(line parsed) error {
	name := t.nameOf(line)
	return t.store.update(func(s *state) error {
		if s.Machines[name] == nil {
			return fmt.Errorf("vm not found: %s", name)
		}
		fmt.Println(filepath.Join(t.store.dir, name))
		return nil
	})
}

func (t *fakeTool) list(line parsed) error {
	return t.store.update(func(s *state) error {
		all := []map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.Machines)) {
			all = append(all, t.describe(s.Machines[name]))
		}
		switch {
		case line.has("--json"):
			return printJSON(all)
		case len(all) == 0:
			fmt.Println("No machines found")
		}
		for _, m := range all {
			fmt.Println(m["name"], m["state"])
		}
		return nil
	})
}

func printJSON(value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(data, '\n'))
	return err
}
