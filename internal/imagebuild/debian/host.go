package debian

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/execx"
)

// Host is this machine as far as making a base is concerned.
type Host struct {
	Root fs.FS    // its file system, for /etc/apt, /etc/os-release and the like
	Env  []string // the environment of apt and mmdebstrap: PATH, proxies
	Dir  string   // scratch space that stays: apt's package lists between plan and build
	OS   string   // as Go spells it
	Arch string   // runtime.GOARCH, which Debian names alike for amd64 and arm64
	UID  int
	User string
	// Run runs a program; nil means execx.Run. Find looks one up; nil means execx.Find.
	Run  func(context.Context, execx.Cmd) error
	Find func(string) (string, error)
	Log  func(line string) // what mmdebstrap tells on the way; may be nil
}

// Request is the base that is wanted.
type Request struct {
	Suite    string // a codename, or "host" for the host's own
	Packages []string
	Arch     string
}

// Resolved is a request with everything settled that decides about the bytes.
type Resolved struct {
	Suite    string
	Arch     string
	Include  []string // the packages asked for, sorted
	Versions []string // "name=version" of every package that gets installed, sorted
	Sources  []byte   // deb822
	Tool     string   // mmdebstrap's version
}

func (h *Host) run(ctx context.Context, cmd execx.Cmd) error {
	if h.Run != nil {
		return h.Run(ctx, cmd)
	}
	return execx.Run(ctx, cmd)
}

func (h *Host) find(name string) (string, error) {
	if h.Find != nil {
		return h.Find(name)
	}
	return execx.Find(name)
}

// check tells what this host lacks, before anything is downloaded.
func (h *Host) check(arch string) error {
	if h.OS != "linux" {
		return fmt.Errorf("a Debian base cannot be made on %s\nuse a registry that answers, or BOTTLE_BASE=docker:NAME", h.OS)
	}
	for _, tool := range []string{"mmdebstrap", "apt-get"} {
		if _, err := h.find(tool); err != nil {
			return fmt.Errorf("%s is not installed\non Debian or Ubuntu: sudo apt-get install mmdebstrap", tool)
		}
	}
	if arch == h.Arch {
		return nil
	}
	machine, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	if !ok {
		return fmt.Errorf("there is no Debian base for the architecture %s", arch)
	}
	if _, err := fs.Stat(h.Root, "proc/sys/fs/binfmt_misc/qemu-"+machine); err != nil {
		return fmt.Errorf("a Debian base for %s cannot be made on this %s host: it cannot run %s programs\n"+
			"sudo apt-get install qemu-user-static, or use a registry that answers", arch, h.Arch, arch)
	}
	return nil
}

// mode is how mmdebstrap gets to own files as root.
func (h *Host) mode() (string, error) {
	if h.UID == 0 {
		return "root", nil
	}
	if _, err := h.find("newuidmap"); err == nil && h.hasSubordinate("etc/subuid") && h.hasSubordinate("etc/subgid") {
		return "unshare", nil
	}
	_, fake := h.find("fakeroot")
	_, chroot := h.find("fakechroot")
	if fake == nil && chroot == nil {
		return "fakechroot", nil
	}
	return "", errors.New("making a Debian base without root needs uidmap with an entry for you in /etc/subuid and /etc/subgid, or fakeroot and fakechroot\n" +
		"sudo apt-get install uidmap, or sudo apt-get install fakeroot fakechroot")
}

func (h *Host) hasSubordinate(file string) bool {
	text, err := fs.ReadFile(h.Root, file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if owner, _, _ := strings.Cut(line, ":"); owner == h.User || owner == strconv.Itoa(h.UID) {
			return true
		}
	}
	return false
}

// Resolve finds out which versions a base would have, from fresh package lists that
// belong to us: the host's own apt state is neither used nor touched.
func (h *Host) Resolve(ctx context.Context, request Request) (Resolved, error) {
	resolved, err := h.resolve(ctx, request)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolving the packages of the Debian base: %w", err)
	}
	return resolved, nil
}

func (h *Host) resolve(ctx context.Context, request Request) (Resolved, error) {
	if err := h.check(request.Arch); err != nil {
		return Resolved{}, err
	}
	suite := request.Suite
	if suite == "host" {
		var err error
		if suite, err = h.codename(); err != nil {
			return Resolved{}, err
		}
	}
	etc, err := fs.Sub(h.Root, "etc/apt")
	if err != nil {
		return Resolved{}, err
	}
	all, err := ReadSources(etc)
	if err != nil {
		return Resolved{}, err
	}
	selected, err := Select(all, suite, request.Arch)
	if err != nil {
		return Resolved{}, err
	}
	include := slices.Clone(request.Packages)
	slices.Sort(include)
	resolved := Resolved{Suite: suite, Arch: request.Arch, Include: slices.Compact(include), Sources: Render(selected)}
	if resolved.Tool, err = h.toolVersion(ctx); err != nil {
		return Resolved{}, err
	}
	resolved.Versions, err = h.simulate(ctx, resolved)
	return resolved, err
}

func (h *Host) codename() (string, error) {
	text, err := fs.ReadFile(h.Root, "etc/os-release")
	if err != nil {
		return "", fmt.Errorf("finding the suite of this host: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(value, `"`), nil
		}
	}
	return "", errors.New("/etc/os-release has no VERSION_CODENAME: name a suite in the recipe")
}

func (h *Host) toolVersion(ctx context.Context) (string, error) {
	var out bytes.Buffer
	err := h.run(ctx, execx.Cmd{Path: "mmdebstrap", Args: []string{"--version"}, Env: h.environ(ctx), Stdout: &out})
	return strings.TrimSpace(out.String()), err
}

// simulate updates lists of our own and lets apt say what it would install: the set
// that mmdebstrap's minbase variant means, and the packages asked for.
func (h *Host) simulate(ctx context.Context, resolved Resolved) ([]string, error) {
	config, err := h.prepareApt(resolved)
	if err != nil {
		return nil, err
	}
	env := append(h.environ(ctx), "APT_CONFIG="+config)
	h.log("reading the package lists of " + resolved.Suite)
	update := []string{"update", "--error-on=any", "-q"}
	if err := h.run(ctx, execx.Cmd{Path: "apt-get", Args: update, Env: env}); err != nil {
		return nil, err
	}
	install := append([]string{"--simulate", "-q", "install", "?essential", "?priority(required)", "apt"}, resolved.Include...)
	var out bytes.Buffer
	if err := h.run(ctx, execx.Cmd{Path: "apt-get", Args: install, Env: env, Stdout: &out}); err != nil {
		return nil, err
	}
	return parseSimulation(out.String())
}

// parseSimulation reads lines like "Inst git (1:2.39.5-0 Debian:12/oldstable [amd64])".
func parseSimulation(out string) ([]string, error) {
	var versions []string
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) > 2 && words[0] == "Inst" && strings.HasPrefix(words[2], "(") {
			versions = append(versions, words[1]+"="+words[2][1:])
		}
	}
	if len(versions) == 0 {
		return nil, errors.New("apt-get would install nothing")
	}
	slices.Sort(versions)
	return versions, lines.Err()
}

func (h *Host) aptDir() string { return filepath.Join(h.Dir, "apt") }

// prepareApt writes an apt configuration that reads nothing of the host's: its hooks
// would work on the host.
func (h *Host) prepareApt(resolved Resolved) (config string, err error) {
	dir := h.aptDir()
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf(aptConfig, dir, resolved.Arch)
	config = filepath.Join(dir, "apt.conf")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, sourcesName), resolved.Sources, 0o644),
		os.WriteFile(config, []byte(text), 0o644),
	)
	return config, err
}

// sourcesName is also the name of the file in the image.
const sourcesName = "bottle.sources"

const aptConfig = `Dir "/";
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "%[1]s/` + sourcesName + `";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::State::extended_states "%[1]s/extended_states";
Dir::Cache "%[1]s/cache";
Dir::Log "%[1]s";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`

// environ adds the proxy that the host's apt uses, if the environment names none: our
// configuration replaces the host's, and mmdebstrap does not read it either.
func (h *Host) environ(ctx context.Context) []string {
	env := append(slices.Clone(h.Env), "LC_ALL=C.UTF-8")
	for _, scheme := range []string{"http", "https"} {
		name := scheme + "_proxy"
		if slices.ContainsFunc(env, func(line string) bool { return strings.HasPrefix(strings.ToLower(line), name+"=") }) {
			continue
		}
		var out bytes.Buffer
		key := "Acquire::" + scheme + "::Proxy"
		err := h.run(ctx, execx.Cmd{Path: "apt-config", Args: []string{"dump", "--format=%v%n", key}, Env: h.Env, Stdout: &out})
		if proxy := strings.TrimSpace(out.String()); err == nil && strings.Contains(proxy, "://") && !strings.ContainsAny(proxy, " \n") {
			env = append(env, name+"="+proxy)
		}
	}
	return env
}

func (h *Host) log(line string) {
	if h.Log != nil {
		h.Log(line)
	}
}
