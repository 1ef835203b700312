package need

import "testing"

// A name is whole: ssh is not asked for by sshd.
func TestRequired(t *testing.T) {
	t.Setenv("BOTTLE_REQUIRE", "docker,sshd")
	for what, want := range map[string]bool{"docker": true, "sshd": true, "ssh": false, "vm": false, "": false} {
		if Required(what) != want {
			t.Errorf("Required(%q) = %v", what, !want)
		}
	}
	t.Setenv("BOTTLE_REQUIRE", "")
	if Required("docker") {
		t.Error("nothing is required, but docker is")
	}
}
