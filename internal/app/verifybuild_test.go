package app

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bottle.internal/internal/verifybuild"
)

// smallCheckout is an App of a checkout whose programs do nothing.
func smallCheckout(t *testing.T) *App {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, "PATH="+os.Getenv("PATH"), "GOCACHE="+cmp.Or(os.Getenv("GOCACHE"), filepath.Join(cache, "go-build")), "GOPROXY=off")
	a.source = t.TempDir()
	for _, pkg := range []string{"images/agent/guest", "images/bundle", "cmd/smolvm-lite", "cmd/lite-init"} {
		writeFile(t, filepath.Join(a.source, pkg, "main.go"), "package main\n\nfunc main() { println(\""+pkg+"\") }\n")
	}
	writeFile(t, filepath.Join(a.source, "go.mod"), "module example.test/bottle\n\ngo 1.26\n")
	for image, program := range map[string]string{agentRecipe: "agent/guest", bundleRecipe: "bundle"} {
		writeFile(t, filepath.Join(a.source, "images", image, "image.toml"),
			"base = \"scratch\"\n[[directory]]\npath = \"/"+image+"\"\nmode = \"0755\"\n[[program]]\npackage = \"./images/"+program+"\"\nto = \"/usr/local/bin/main\"\n")
	}
	return a
}

func verifyBuildOf(t *testing.T, a *App) []verifybuild.Row {
	t.Helper()
	report, err := a.VerifyBuild(t.Context(), VerifyBuildRequest{KeepGoCache: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(a.dirs.cache, "verify")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second cache is left: %v", err)
	}
	return report.Rows
}

// What is built again is the same; what somebody changed in the cache is found and named.
func TestVerifyBuild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("smolvm-lite is for Linux")
	}
	a := smallCheckout(t)
	rows := verifyBuildOf(t, a)
	var names []string
	for _, row := range rows {
		names = append(names, row.What)
		if !row.Same() {
			t.Errorf("%+v", row)
		}
	}
	const want = "program ./images/agent/guest, program ./images/bundle, program ./cmd/smolvm-lite, program ./cmd/lite-init, " +
		"agent: layer accounts, agent: layer programs, agent: config, agent: image, agent: as packed, " +
		"bundle: layer accounts, bundle: layer programs, bundle: config, bundle: image, bundle: as packed"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("compared: %s\nwant:     %s", got, want)
	}

	// What a killed run has left is no hindrance.
	writeFile(t, filepath.Join(a.dirs.cache, "verify", "copy of bottle", "go.mod"), "rubbish")
	// A byte in a program, and in the accounts of the agent; what the cache says of them stays.
	program, layer := the(t, a, "programs/*/lite-init"), filepath.Join(a.dirs.cache, "layers", accounts(t, a)+".layer")
	for _, file := range []string{program, layer} {
		content := []byte(readFile(t, file))
		content[20] ^= 1
		writeFile(t, file, string(content))
	}
	var differ []string
	for _, row := range verifyBuildOf(t, a) {
		if !row.Same() {
			differ = append(differ, row.What+": "+row.First)
		}
	}
	if len(differ) != 2 || !strings.HasPrefix(differ[0], "program ./cmd/lite-init: ") || !strings.HasSuffix(differ[0], "alike up to byte 20") ||
		!strings.HasPrefix(differ[1], "agent: layer accounts: ") {
		t.Errorf("these differ: %q", differ)
	}
}

// the only file of the cache that fits.
func the(t *testing.T, a *App, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(a.dirs.cache, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files[0]
}

// accounts is the key of the accounts' layer in the agent's image.
func accounts(t *testing.T, a *App) string {
	t.Helper()
	job, err := a.agentJob(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range job.Explain() {
		if part.Name == "layer accounts" {
			return part.Value
		}
	}
	t.Fatal("the image has no accounts")
	return ""
}
