package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
)

func TestWhatBecomesOfABottle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule     KeepRule
		wish     state.Wish
		finished bool
		kept     bool
	}{
		{KeepUnfinished, state.NoWish, true, false},
		{KeepUnfinished, state.NoWish, false, true},
		{KeepUnfinished, state.WishRemove, false, false}, // bottle stop
		{KeepUnfinished, state.WishKeep, true, true},     // bottle stop --keep, and the agent was quicker
		{KeepNever, state.NoWish, false, false},          // start --rm
		{KeepNever, state.WishKeep, false, false},
	} {
		if got := keeps(test.rule, test.wish, test.finished); got != test.kept {
			t.Errorf("%+v: kept %v", test, got)
		}
	}
}

func TestMachineThatCannotBecomeWhatThePlanWants(t *testing.T) {
	t.Parallel()
	old := plan.Plan{
		Identity: "demo-aaaaa", VM: plan.VM{Tool: "smolvm", Version: "1.9.3", CPUs: 1, MemoryMiB: 512, DiskGiB: 10},
		Ports: []plan.Port{{Daemon: "firewall", Guest: 8888}},
	}
	for _, test := range []struct {
		change func(*plan.Plan)
		want   string
	}{
		{func(*plan.Plan) {}, ""},
		{func(p *plan.Plan) { p.VM.Version = "1.9.4" }, ""},
		{func(p *plan.Plan) { p.VM.Tool = "smolvm-lite" }, "its machine is one of smolvm, and the VM tool is smolvm-lite now"},
		{func(p *plan.Plan) { p.VM.CPUs = 2 }, "its machine has 1 cpus, 512 MiB and 10 GiB, and the plan wants 2 cpus, 512 MiB and 10 GiB now"},
		{func(p *plan.Plan) { p.Ports = append(p.Ports, plan.Port{Guest: 9100}) }, "its machine has 1 ways out, and the plan wants 2 now"},
		{func(p *plan.Plan) { p.Ports[0].Guest = 9420 }, "its machine has port 8888, and the plan wants 9420 now"},
	} {
		now := old
		now.Ports = slices.Clone(old.Ports)
		test.change(&now)
		err := sameMachine(old, now)
		if test.want == "" {
			if err != nil {
				t.Errorf("sameMachine() = %v", err)
			}
			continue
		}
		problem, ok := err.(*Problem)
		if want := "demo-aaaaa cannot go on as it is: " + test.want; !ok || problem.Text != want || !slices.Equal(problem.Hints, []string{"bottle resume --fresh demo-aaaaa"}) {
			t.Errorf("sameMachine() = %v, want %q", err, want)
		}
	}
	if err := sameMachine(plan.Plan{}, old); err != nil {
		t.Errorf("nobody knows what it was: %v", err)
	}
}

func TestCleanSparesThePacksOfBottles(t *testing.T) {
	a := newApp(t)
	packs := filepath.Join(a.dirs.cache, "packs")
	if err := os.MkdirAll(filepath.Join(packs, "locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"aa.smolmachine", "aa.json", "bb.smolmachine", "bb.json"} {
		if err := os.WriteFile(filepath.Join(packs, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	instance := instanceOf(t, a, "demo-aaaaa", 0)
	status := state.Status{Identity: "demo-aaaaa", Phase: state.Stopped, Artifact: filepath.Join(packs, "aa.smolmachine")}
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{false, true} {
		if _, err := a.Clean(all); err != nil {
			t.Errorf("Clean(%v) = %v", all, err)
		}
		found, err := filepath.Glob(filepath.Join(packs, "*"))
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		if got := strings.Join(found, " "); err != nil || got != "aa.json aa.smolmachine" {
			t.Errorf("after Clean(%v): %s, %v", all, got, err)
		}
	}
	if err := instance.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Clean(false); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(packs); !os.IsNotExist(err) {
		t.Errorf("nobody needs them any more: %v", err)
	}
}

// How an agent ended is said once its bottle is stopped, and not while it is taken up again.
func TestListSaysHowItEnded(t *testing.T) {
	a := newApp(t)
	seven := 7
	instance := instanceOf(t, a, "demo-aaaaa", os.Getpid())
	if err := instance.WriteStatus(state.Status{Identity: "demo-aaaaa", Agent: "demo", Phase: state.Stopped, ExitCode: &seven}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"starting", "stopped"} {
		rows, problems := a.List(t.Context())
		if len(rows) != 1 || len(problems) > 0 || rows[0].State != want || (rows[0].Exit != nil) != (want == "stopped") {
			t.Errorf("%s: %+v, %v", want, rows, problems)
		}
		instance.Unlock()
	}
}
