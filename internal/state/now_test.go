package state_test

import (
	"testing"

	"bottle.internal/internal/state"
)

// Who reads a status while its owner ends must not take a kept bottle for a killed one.
func TestStateNow(t *testing.T) {
	t.Parallel()
	instance, err := open(t).Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		phase  state.Phase
		unlock bool
		want   state.Phase
	}{
		{state.Starting, false, state.Starting},
		{state.Running, false, state.Running},
		{state.Stopping, false, state.Stopping},
		{state.Stopped, false, state.Starting}, // somebody has it, and has not written so yet
		{state.Stopped, true, state.Stopped},
		{state.Running, true, state.Orphaned},
		{state.Stopping, true, state.Orphaned},
	} {
		if test.unlock {
			instance.Unlock()
		}
		if err := instance.WriteStatus(state.Status{Identity: "demo-aaaaa", Phase: test.phase}); err != nil {
			t.Fatal(err)
		}
		if status, now, err := instance.Look(); err != nil || status.Phase != test.phase || now != test.want {
			t.Errorf("%+v: %+v is %s, %v", test, status, now, err)
		}
	}
	if err := instance.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := instance.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, now, err := instance.Look(); err != nil || now != state.Gone {
		t.Errorf("without an instance it is %s, %v", now, err)
	}
}
