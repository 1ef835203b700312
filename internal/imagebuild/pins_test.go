package imagebuild_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/lockfile"
)

// An offer is looked for and changes nothing; a base that was taken is the next build's.
func TestOfferOfABase(t *testing.T) {
	t.Parallel()
	m := &mirror{version: "1"}
	settings := config(t)
	m.use(&settings)
	settings.Base.Choice = "debian"
	loaded, selection := recipe(t, on("127.0.0.1:1/base:tag")+debianSection), imagebuild.Selection{Platform: linux("amd64")}
	builder := imagebuild.New(settings)
	chosen := func() imagebuild.Chosen {
		t.Helper()
		job, err := builder.Plan(t.Context(), loaded, selection)
		if err != nil {
			t.Fatal(err)
		}
		return job.Chosen()
	}
	if got := chosen(); got.From != "debian bookworm" || got.Digest != "" || !slices.Equal(got.Packages, []string{"git=1"}) {
		t.Fatalf("chosen: %+v", got)
	}
	m.version = "2"
	offer, err := builder.Offer(t.Context(), loaded, linux("amd64"))
	if err != nil || !offer.Lockable || !slices.Equal(offer.Packages, []string{"git=2"}) {
		t.Fatalf("offer: %+v, %v", offer, err)
	}
	if got := chosen(); !slices.Equal(got.Packages, []string{"git=1"}) {
		t.Errorf("an offer was taken by itself: %+v", got)
	}
	if err := offer.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := chosen(); !slices.Equal(got.Packages, []string{"git=2"}) {
		t.Errorf("after taking the offer: %+v", got)
	}
	settings.Base.Choice = ""
	empty, err := imagebuild.New(settings).Offer(t.Context(), recipe(t, tiny), linux("amd64"))
	if err != nil || empty.Lockable || empty.From != "scratch" || empty.Take(t.Context()) != nil {
		t.Errorf("offer of an empty base: %+v, %v", empty, err)
	}
}

// unpinned is a recipe whose tool has its version elsewhere.
func unpinned(section string) string {
	var kept []string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "version") && !strings.HasPrefix(line, "integrity") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// A tool's version comes from the pins, and gives the same image as one in the recipe.
func TestPinsOfTools(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	settings := config(t)
	registry.use(&settings)
	section := "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64")
	selection := imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}}
	inRecipe := build(t, settings, recipe(t, tiny+section), selection)

	loaded := recipe(t, tiny+unpinned(section))
	const missing = "the tool claude is not pinned for linux/amd64\ngo tool mage update"
	if got := fails(t, settings, loaded, selection); got != missing {
		t.Errorf("without a pin: %s", got)
	}
	_, integrity, _ := strings.Cut(section, "integrity = \"")
	integrity, _, _ = strings.Cut(integrity, "\"")
	pin := lockfile.Npm{Tool: "claude", Platform: "linux/amd64", Package: "claude-amd64", Version: "1.0.0", Integrity: integrity}
	other := pin
	other.Package = "claude-of-somebody-else"
	settings.Npm.Lock.Npm = []lockfile.Npm{other, {Tool: "claude", Platform: "linux/arm64", Package: "claude-amd64"}}
	if got := fails(t, settings, loaded, selection); got != missing {
		t.Errorf("with pins of others: %s", got)
	}
	settings.Npm.Lock.Npm[0] = pin
	if got := build(t, settings, loaded, selection); got.digest != inRecipe.digest || got.key != inRecipe.key {
		t.Errorf("pinned by the lock: %s, by the recipe: %s", got.digest, inRecipe.digest)
	}
}

func TestNewestPins(t *testing.T) {
	t.Parallel()
	integrity := "sha512-" + strings.Repeat("A", 86) + "=="
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := map[string]string{"/claude/latest": "2.0.0", "/claude/2.0.0-linux-x64": "2.0.0-linux-x64"}[r.URL.Path]
		if version == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"version":%q,"dist":{"integrity":%q}}`, version, integrity)
	}))
	t.Cleanup(server.Close)
	settings := config(t)
	settings.Npm.HTTP, settings.Npm.Host.Env = server.Client(), []string{"NPM_CONFIG_REGISTRY=" + server.URL}
	const section = "[[npm]]\ntool = \"claude\"\n[npm.amd64]\npackage = \"claude\"\nsuffix = \"-linux-x64\"\nfiles = [\"a\"]\n"
	pins, err := imagebuild.New(settings).NewestPins(t.Context(), recipe(t, tiny+section))
	want := lockfile.Npm{Tool: "claude", Platform: "linux/amd64", Package: "claude", Version: "2.0.0-linux-x64", Integrity: integrity}
	if err != nil || len(pins) != 1 || pins[0] != want {
		t.Errorf("pins = %+v, %v", pins, err)
	}
	_, err = imagebuild.New(settings).NewestPins(t.Context(), recipe(t, tiny+strings.Replace(section, "x64", "arm64", 1)))
	if err == nil || !strings.HasPrefix(err.Error(), "asking for the newest claude for linux/amd64: asking for npm package claude: not found on ") {
		t.Errorf("err = %v", err)
	}
}
