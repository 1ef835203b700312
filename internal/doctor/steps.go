package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Action is what a step is.
type Action string

// The actions.
const (
	RunCommands Action = "run"    // run the commands, in order
	FetchKernel Action = "kernel" // download and unpack a guest kernel
	StartDocker Action = "docker" // start the engine and wait for it
	TellPerson  Action = "tell"   // only a person can do it
)

// Step is one thing to do. Lines is what a person would type for it.
type Step struct {
	Action   Action
	Name     string
	Commands [][]string
	Lines    []string
	Auto     bool // Install does it
}

// Steps says what to do about the items, in order. It is pure.
func Steps(items []Item, p Platform) []Step {
	var steps []Step
	packages := wanted(items, p)
	kernel, hasKernel := find(items, Kernel)
	fetchKernel := hasKernel && kernel.Needed()
	if len(packages) > 0 || (fetchKernel && p.apt() && p.Privilege != None) {
		steps = append(steps, installStep(packages, p))
	}
	if fetchKernel {
		steps = append(steps, kernelStep(p))
	}
	if docker, ok := find(items, Docker); ok && docker.Needed() {
		steps = append(steps, dockerStep(docker, p)...)
	}
	for _, name := range []string{Go, Smolvm, Disk} {
		if item, ok := find(items, name); ok && item.Needed() {
			steps = append(steps, Step{Action: TellPerson, Name: name, Lines: handLines(name, p)})
		}
	}
	return steps
}

func (p Platform) apt() bool { return p.Family == Debian || p.Family == Ubuntu }

// as puts sudo in front where that is needed.
func (p Platform) as(args ...string) []string {
	switch p.Privilege {
	case Root:
		return args
	case Sudo:
		return append([]string{"sudo", "-n"}, args...)
	default:
		return append([]string{"sudo"}, args...)
	}
}

func find(items []Item, name string) (Item, bool) {
	i := slices.IndexFunc(items, func(item Item) bool { return item.Name == name })
	if i < 0 {
		return Item{}, false
	}
	return items[i], true
}

// packageOf names the package that brings an item, or "".
func packageOf(name string, p Platform) string {
	arm := p.GOARCH == "arm64"
	table := map[Family]map[string]string{
		Debian: {
			Git: "git", Docker: "docker.io", QEMU: "qemu-system-x86", Mmdebstrap: "mmdebstrap",
			MkfsExt4: "e2fsprogs", CACerts: "ca-certificates", Iproute: "iproute2",
		},
		Fedora: {
			Git: "git", Docker: "moby-engine", QEMU: "qemu-system-x86-core", Mmdebstrap: "mmdebstrap",
			MkfsExt4: "e2fsprogs", CACerts: "ca-certificates", Iproute: "iproute",
		},
		Darwin: {Git: "git"},
	}
	family := p.Family
	if family == Ubuntu {
		family = Debian
	}
	if name == QEMU && arm {
		return map[Family]string{Debian: "qemu-system-arm", Fedora: "qemu-system-aarch64-core"}[family]
	}
	return table[family][name]
}

// wanted lists the packages that are missing. A Docker that is there is not replaced.
func wanted(items []Item, p Platform) []string {
	var packages []string
	for _, item := range items {
		if !item.Needed() || item.Cause != "" {
			continue
		}
		if name := packageOf(item.Name, p); name != "" {
			packages = append(packages, name)
		}
	}
	slices.Sort(packages)
	return packages
}

func installStep(packages []string, p Platform) Step {
	step := Step{Action: RunCommands, Name: "packages"}
	switch p.Family {
	case Debian, Ubuntu:
		step.Auto = p.Privilege != None
		step.Commands = [][]string{p.as("apt-get", "update")}
		if len(packages) > 0 {
			step.Commands = append(step.Commands, p.as(append([]string{
				"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends",
			}, packages...)...))
		}
	case Fedora:
		step.Commands = [][]string{p.as(append([]string{"dnf", "install", "-y"}, packages...)...)}
	case Darwin:
		step.Commands = [][]string{append([]string{"brew", "install"}, packages...)}
	case Other: // no package is known there
	}
	for _, command := range step.Commands {
		step.Lines = append(step.Lines, strings.Join(command, " "))
	}
	return step
}

// kernelStep needs no privilege: the package is unpacked, not installed.
func kernelStep(p Platform) Step {
	step := Step{Action: FetchKernel, Name: Kernel, Auto: p.apt()}
	if p.apt() {
		step.Lines = []string{"bottle setup   # downloads " + kernelMeta(p) + " and unpacks it"}
	} else {
		step.Lines = handLines(Kernel, p)
	}
	return step
}

// kernelMeta is the package that depends on the newest small kernel.
func kernelMeta(p Platform) string {
	if p.Family == Ubuntu {
		return "linux-image-virtual"
	}
	return "linux-image-cloud-" + p.GOARCH
}

func dockerStep(docker Item, p Platform) []Step {
	tell := Step{Action: TellPerson, Name: Docker}
	switch {
	case docker.Cause == NoPermission:
		tell.Lines = []string{"sudo usermod -aG docker \"$USER\"   # then log in again"}
		return []Step{tell}
	case p.Family == Darwin:
		tell.Lines = []string{"brew install --cask docker   # or: brew install colima docker", "open -a Docker   # or: colima start"}
		if docker.Cause == NotRunning {
			tell.Lines = tell.Lines[1:]
		}
		return []Step{tell}
	case p.Family == Other && docker.Cause != NotRunning:
		tell.Lines = handLines(Docker, p)
		return []Step{tell}
	}
	step := Step{Action: StartDocker, Name: Docker, Auto: p.apt() && p.Privilege != None}
	switch p.Services {
	case Systemd:
		step.Commands = [][]string{p.as("systemctl", "start", "docker")}
	case SysV:
		step.Commands = [][]string{p.as("service", "docker", "start")}
	default:
		step.Commands = [][]string{p.as("dockerd")}
	}
	line := strings.Join(step.Commands[0], " ")
	if p.Services == NoManager {
		line += " &"
	}
	step.Lines = []string{line}
	return []Step{step}
}

// handLines is what a person has to do where no command of ours can.
func handLines(name string, p Platform) []string {
	switch name {
	case Go:
		return []string{fmt.Sprintf("install Go 1.%d or newer: https://go.dev/doc/install", minGo)}
	case Smolvm:
		if p.Family == Darwin {
			return []string{"install smolvm 1.8.1 or newer: https://github.com/smol-machines/smolvm"}
		}
		return []string{"unset BOTTLE_SMOLVM   # or let it name a smolvm that runs"}
	case Disk:
		return []string{"bottle clean   # removes the caches"}
	case Kernel:
		return []string{
			"on a Debian system: apt-get download the package that linux-image-cloud-" + p.GOARCH + " depends on",
			"then here: dpkg-deb -x linux-image-*.deb DIR, with SMOLVM_LITE_KERNEL=DIR",
		}
	default:
		return []string{fmt.Sprintf("install %s with the package manager of this system", name)}
	}
}

// fixes are the lines for one item alone.
func fixes(item Item, p Platform) []string {
	if item.Status == OK || item.Name == KVM || (item.Optional && item.Name == Smolvm) {
		return nil
	}
	item.Optional = false
	var lines []string
	for _, step := range Steps([]Item{item}, p) {
		if item.Name == Kernel && step.Action == RunCommands {
			continue // the update belongs to the step that follows
		}
		lines = append(lines, step.Lines...)
	}
	if lines == nil {
		lines = handLines(item.Name, p)
	}
	return lines
}
