package gitgate

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"time"

	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/execx"
)

// Resources of one git process. Address space, not only what is resident: git maps its
// packs, in windows that the settings bound.
const (
	gitAddressKiB = 4 << 20 // 4 GiB
	gitCPUSeconds = 600
)

// gitSettings come before every configuration file of git, of which there is none but the
// mirror's own.
func gitSettings() []string {
	return []string{
		"protocol.allow=never", "protocol.ssh.allow=always", "ssh.variant=ssh",
		"core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null",
		"attr.tree=" + emptyTree, "safe.bareRepository=explicit", "credential.helper=",
		"core.packedGitWindowSize=32m", "core.packedGitLimit=256m", "core.deltaBaseCacheLimit=64m",
		"core.bigFileThreshold=32m", "pack.threads=2", "pack.windowMemory=64m", "pack.writeReverseIndex=false",
		"gc.auto=0", "gc.autoDetach=false", "maintenance.auto=false",
		"submodule.recurse=false", "fetch.recurseSubmodules=false", "push.recurseSubmodules=no",
		"push.gpgSign=false", "push.followTags=false", "push.negotiate=false", "fetch.writeCommitGraph=false",
		"fetch.uriProtocols=", "transfer.bundleURI=false",
		"receive.fsckObjects=true", "transfer.fsckObjects=true", "fetch.fsckObjects=true",
		// Old faults that many an upstream has in its history and nobody can repair.
		"fetch.fsck.zeroPaddedFilemode=warn", "fetch.fsck.badTimezone=warn", "fetch.fsck.missingSpaceBeforeDate=warn",
		"fetch.fsck.missingEmail=warn", "fetch.fsck.missingNameBeforeEmail=warn", "fetch.fsck.missingSpaceBeforeEmail=warn",
		"fetch.fsck.multipleAuthors=warn", "fetch.fsck.badDate=warn", "fetch.fsck.badName=warn", "fetch.fsck.badEmail=warn",
		"uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=false", "uploadpack.advertiseBundleURIs=false",
	}
}

// gitEnv is the whole environment of a git process.
func gitEnv(home string, extra ...string) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false",
		"GIT_ALLOW_PROTOCOL=ssh", "GIT_PROTOCOL_FROM_USER=0", "GIT_SSH_VARIANT=ssh", "GIT_ADVICE=0",
	}
	settings := gitSettings()
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(settings)))
	for i, setting := range settings {
		key, value := cutSetting(setting)
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, value))
	}
	return append(env, extra...)
}

func cutSetting(setting string) (key, value string) {
	at := slices.Index([]byte(setting), '=')
	return setting[:at], setting[at+1:]
}

// git describes one run in a repository; an empty dir is for commands that need none.
type gitRun struct {
	dir    string // the bare repository
	args   []string
	env    []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// command wraps git in a shell that sets its limits: they hold before git reads a byte,
// and what git starts inherits them.
func (g *Gate) command(run gitRun) execx.Cmd {
	args := run.args
	if run.dir != "" {
		args = append([]string{"--git-dir=" + run.dir}, args...)
	}
	return execx.Cmd{
		Path: "/bin/sh", Args: append([]string{"-c", gitLimits(runtime.GOOS) + `exec "$0" "$@"`, g.options.Git}, args...),
		Env: gitEnv(g.home(), run.env...), Dir: g.home(), Stdin: run.stdin, Stdout: run.stdout, Stderr: run.stderr,
		Grace: 500 * time.Millisecond, DieWithUs: true,
	}
}

// gitLimits are for a shell. Other systems than the bundle's run the tests only, and macOS
// knows no limit of the address space.
func gitLimits(goos string) string {
	if goos != "linux" {
		return ""
	}
	return fmt.Sprintf("ulimit -c 0 && ulimit -v %d && ulimit -t %d && ", gitAddressKiB, gitCPUSeconds)
}

func (g *Gate) git(ctx context.Context, run gitRun) error { return execx.Run(ctx, g.command(run)) }

// gitOutput is for commands whose output is small; more than limit bytes are an error.
func (g *Gate) gitOutput(ctx context.Context, run gitRun, limit int) ([]byte, error) {
	out := &excerpt.Head{Limit: limit}
	run.stdout = out
	if err := g.git(ctx, run); err != nil {
		return nil, err
	}
	kept, over := out.Bytes()
	if over {
		return nil, fmt.Errorf("git %s: more than %d bytes", run.args[0], limit)
	}
	return kept, nil
}
