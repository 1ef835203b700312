package app

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"bottle.internal/internal/doctor"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/smolvm"
)

// A start and a resume look for room before they do anything, whatever the VM tool.
func TestNoStartWithoutRoom(t *testing.T) {
	for _, name := range []string{smolvm.NameSmolvm, smolvm.NameLite} {
		a := newApp(t)
		if _, err := a.tool.get(func() (*smolvm.Client, error) {
			return smolvm.New(smolvm.Config{Tool: smolvm.Tool{Name: name, Path: "/nonexistent"}}), nil
		}); err != nil {
			t.Fatal(err)
		}
		disks := smolvm.Tool{Name: name}.Disks(a.config.Environ)
		var asked []string
		a.measure = func(places []doctor.Place) (spaces []doctor.Space, err error) {
			for _, place := range places {
				asked = append(asked, place.Dir)
				free := uint64(doctor.MinFree)
				if place.Dir == disks {
					free--
				}
				spaces = append(spaces, doctor.Space{Place: place, Free: free})
			}
			return spaces, nil
		}
		want := "only 2047 MiB are free for the machines' disks in " + disks + ", and a start needs 2048 MiB"
		_, err := a.Start(t.Context(), plan.Plan{Identity: "demo-aaaaa"})
		refused(t, err, want)
		if instances, err := a.state.List(); len(instances) != 0 || err != nil {
			t.Errorf("the start left %v, %v", instances, err)
		}
		if !slices.Equal(asked, []string{disks, a.dirs.state, a.dirs.cache}) {
			t.Errorf("asked for %q", asked)
		}
		instance := instanceOf(t, a, "demo-bbbbb", 0)
		instance.Unlock()
		_, err = a.Resume(t.Context(), Resumption{Plan: plan.Plan{Identity: "demo-bbbbb"}, Fresh: true})
		refused(t, err, want)
		if err := instance.Lock(); err != nil {
			t.Errorf("the resume kept its lock: %v", err)
		}
		instance.Unlock()
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	problem, ok := errors.AsType[*Problem](err)
	if !ok || problem.Error() != want {
		t.Errorf("%v, want %q", err, want)
		return
	}
	if !slices.Equal(problem.Hints, []string{"bottle cleanup   # what ended bottles left", "bottle clean     # removes the caches", "df -h"}) {
		t.Errorf("hints %q", problem.Hints)
	}
}

// What cannot be measured is no room.
func TestNoStartWithoutAMeasure(t *testing.T) {
	a := newApp(t)
	a.measure = func([]doctor.Place) ([]doctor.Space, error) { return nil, errors.New("no such device") }
	if err := a.room(smolvm.Tool{}); err == nil || err.Error() != "looking for room: no such device" {
		t.Errorf("%v", err)
	}
	a.measure = doctor.Measure
	if _, err := a.measure([]doctor.Place{{Dir: filepath.Join(t.TempDir(), "x")}}); err != nil {
		t.Error(err)
	}
}
