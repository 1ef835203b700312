package proof

import (
	"reflect"
	"testing"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/plan"
)

// What is not named here is never tried by a guest.
func TestWhatIsTried(t *testing.T) {
	t.Parallel()
	subject := Subject{
		Plan: plan.Plan{
			Daemons:  []string{daemons.Firewall, daemons.Egress},
			Ports:    []plan.Port{{Daemon: daemons.Firewall, Guest: 8888}, {Daemon: daemons.GitGate, Guest: 9420}},
			Firewall: plan.Firewall{Hosts: []plan.Host{{Host: "listed.test"}}},
			Echo:     []string{"listed.test", "unlisted.test"},
		},
		Shares: []string{"TAG=ro"}, Gate: "127.0.0.1:1234",
	}
	want := boundary.Bottle{
		Firewall: "127.0.0.1:8888",
		Inside:   []string{"127.0.0.2:443", "127.0.0.1:8888", "127.0.0.1:9420"},
		Sockets:  []string{"8888.sock", "9420.sock"},
		Unlisted: []string{"unlisted.test:443"},
		Shares:   []string{"TAG=ro"}, Gate: "127.0.0.1:1234",
	}
	if got := subject.bottle(); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v, want %+v", got, want)
	}
	subject.Plan.Daemons = nil
	want.Inside = want.Inside[1:]
	if got := subject.bottle(); !reflect.DeepEqual(got, want) {
		t.Errorf("without egress it is %+v, want %+v", got, want)
	}
}
