package daemons_test

import (
	"os"
	"testing"

	"bottle.internal/internal/daemons"
	"bottle.internal/internal/imagebuild"
)

// The image has a user of each daemon's name and number, and no two daemons share one.
func TestImageHasTheUsers(t *testing.T) {
	t.Parallel()
	recipe, err := imagebuild.LoadRecipe(os.DirFS("../../images"), "bundle")
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]int{}
	for _, user := range recipe.Users {
		uids[user.Name] = user.UID
	}
	owners := map[string]string{}
	for _, dir := range recipe.Dirs {
		owners[dir.Path] = dir.Owner + " " + map[int64]string{0o700: "private"}[dir.Mode]
	}
	seen := map[int]string{}
	for _, d := range daemons.All() {
		if uids[d.Name] != d.UID || d.UID == 0 {
			t.Errorf("%s: uid %d in the image, %d here", d.Name, uids[d.Name], d.UID)
		}
		if other, taken := seen[d.UID]; taken {
			t.Errorf("%s and %s share uid %d", d.Name, other, d.UID)
		}
		seen[d.UID] = d.Name
		if d.Volume != "" && owners[d.Volume] != d.Name+" private" {
			t.Errorf("%s: %s belongs to %q in the image", d.Name, d.Volume, owners[d.Volume])
		}
	}
}
