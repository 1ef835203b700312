package boundary_test

import (
	"context"
	"testing"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
)

// Every launch looks for directories of this host. Where the VM tool shows some to every
// machine, these prove that the probe sees them; elsewhere a look that finds none is no proof.
func TestSharesAreLookedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		declared []string
		target   string
		verdict  boundary.Verdict
	}{
		{nil, "", boundary.Uncontrolled},
		{[]string{"/dev/root=rw", "smolvm_layers=ro"}, "/dev/root=rw,smolvm_layers=ro", boundary.Passed},
	} {
		targets, err := boundary.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checks := targets.Checks(t.Context(), boundary.Bottle{
			Firewall: "127.0.0.1:8888", Shares: test.declared,
			Reach: func(_ context.Context, list ...string) []error { return make([]error, len(list)) },
		})
		if err := targets.Close(); err != nil {
			t.Error(err)
		}
		found := false
		for _, check := range checks {
			if check.Kind != probe.Shares {
				continue
			}
			found = true
			clean := boundary.Judge([]boundary.Check{check}, []probe.Observation{{Name: check.Name, Saw: "none"}})[0]
			dirty := boundary.Judge([]boundary.Check{check}, []probe.Observation{{Name: check.Name, Reached: true, Saw: "also home (rw)"}})[0]
			if check.Target != test.target || clean.Verdict != test.verdict || dirty.Verdict != boundary.Failed {
				t.Errorf("%q: target %q, %s, %s", test.declared, check.Target, clean.Verdict, dirty.Verdict)
			}
		}
		if !found {
			t.Errorf("%q: nobody looks", test.declared)
		}
	}
}
