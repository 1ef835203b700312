package imagebuild_test

import (
	"testing"
	"testing/synctest"
	"time"

	"bottle.internal/internal/imagebuild"
)

// A base, our layers and the config have the same bytes whatever the clock says: in a bubble
// it is the first day of 2000, outside it is today.
func TestSameDigestAtTwoTimes(t *testing.T) {
	t.Parallel()
	buildNow := func(t *testing.T) (result built, at time.Time) {
		t.Helper()
		m := &mirror{version: "1"} // its archive has the time of the clock
		settings := config(t)
		m.use(&settings)
		settings.Base.Choice = "debian"
		text := "base = \"debian\"\n" + withProgram[len("base = \"scratch\"\n"):] + debianSection
		return build(t, settings, recipe(t, text), imagebuild.Selection{Platform: linux("amd64")}), time.Now()
	}
	today, now := buildNow(t)
	synctest.Test(t, func(t *testing.T) {
		then, before := buildNow(t)
		if now.Sub(before) < 365*24*time.Hour {
			t.Fatalf("both were built at about %v", now)
		}
		if then.digest != today.digest || then.key != today.key {
			t.Errorf("digests %s and %s, keys %s and %s", then.digest, today.digest, then.key, today.key)
		}
		valid(t, then.image)
	})
}
