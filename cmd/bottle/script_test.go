package main

import (
	"errors"
	"flag"
	"os"
	"os/exec" // only its ExitError, which testscript returns
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/smolvmtest"
	"bottle.internal/tests/fakeengine"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bottle": main, "smolvm": fakeSmolvm})
}

// fakeSmolvm keeps its machines in SMOLVM_DATA_DIR, which bottle passes on, and is the
// release that a file there names.
func fakeSmolvm() {
	dir := os.Getenv("SMOLVM_DATA_DIR")
	version := "1.9.3"
	if text, err := os.ReadFile(filepath.Join(dir, "version")); err == nil {
		version = strings.TrimSpace(string(text))
	}
	for name, value := range map[string]string{
		"FAKE_SMOLVM_STATE": dir, "FAKE_SMOLVM_VERSION": version, "FAKE_SMOLVM_NAME": "smolvm",
	} {
		_ = os.Setenv(name, value)
	}
	// bottle passes no GORACE on, without which a race-enabled binary lingers for a second;
	// it is read at the start of a process.
	if self, err := os.Executable(); err == nil && os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		_ = syscall.Exec(self, os.Args, os.Environ())
	}
	smolvmtest.Main()
}

// TestScripts runs what a person could type. No script needs Docker, a VM, root or a
// network: the base is empty, the engine is a socket that nobody or a fake answers on,
// modules come from the module cache alone.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, sandbox(t, "testdata/script"))
}

// sandbox is where the scripts of a directory run.
func sandbox(t *testing.T, dir string) testscript.Params {
	t.Helper()
	source, err := gobuild.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	common := append([]string{
		"BOTTLE_SOURCE=" + source,
		"BOTTLE_BASE=scratch",
		"DOCKER_HOST=unix:///nonexistent",
		"ENGINE=" + fakeengine.Serve(t, emptyEngine),
		"XDG_CACHE_HOME=" + t.TempDir(), // shared: our programs are built once
		"GORACE=atexit_sleep_ms=0",
		"GOPROXY=off",
		"TERM=dumb",
	}, goEnv(t)...)
	return testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "normal": normal, "page": page, "example": example, "borrow": borrow, "auditlog": auditLog,
		},
		Condition: func(name string) (bool, error) {
			return name == "root" && os.Getuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, common...)
			home, machines := filepath.Join(env.WorkDir, "home"), filepath.Join(env.WorkDir, "smolvm")
			env.Setenv("HOME", home)
			env.Setenv("SMOLVM_DATA_DIR", machines)
			env.Setenv("STATE", filepath.Join(home, ".local/state/bottle"))
			tool, err := execx.Find("smolvm")
			env.Setenv("BOTTLE_SMOLVM", tool)
			return errors.Join(err, os.MkdirAll(machines, 0o700),
				os.MkdirAll(filepath.Join(home, ".local/state"), 0o700)) // not whatever the umask says
		},
	}
}

// goEnv lets builds in a script use the caches of this machine.
func goEnv(t *testing.T) []string {
	t.Helper()
	out, err := execx.Output(t.Context(), execx.Cmd{Path: "go", Args: []string{"env", "GOCACHE", "GOMODCACHE"}, Env: os.Environ()})
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2 {
		t.Fatalf("go env: %q, %v", out, err)
	}
	return []string{"GOCACHE=" + lines[0], "GOMODCACHE=" + lines[1]}
}

// emptyEngine has nothing.
func emptyEngine(path string) (json string, known bool) {
	for end, json := range map[string]string{
		"/containers/json": "[]", "/networks": "[]", "/volumes": `{"Volumes":[]}`,
		"/version": `{"Version":"20.10.24","ApiVersion":"1.41","Os":"linux","Arch":"amd64"}`,
	} {
		if strings.HasSuffix(path, end) {
			return json, true
		}
	}
	return "", false
}

// exits runs a program that must end with exactly this code, or one of a list:
// exits CODE[,CODE] PROGRAM [ARG...].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if !slices.Contains(strings.Split(args[0], ","), strconv.Itoa(code)) {
		ts.Fatalf("want exit status %s, got %d", args[0], code)
	}
}

// normal writes a file, stdout or stderr to another file with everything replaced that
// differs from run to run: normal FROM TO.
func normal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: normal FROM TO")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "WORK")
	text = strings.ReplaceAll(text, ts.Getenv("BOTTLE_SMOLVM"), "SMOLVM")
	text = identities.ReplaceAllString(text, "$1-IDENT")
	text = digests.ReplaceAllString(text, "DIGEST")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

var (
	identities = regexp.MustCompile(`\b(demo|shell|claude)-[0-9a-z]{5}\b`)
	digests    = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
)
