package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"bottle.internal/internal/execx"
)

// Accel is how QEMU runs the guest's instructions.
type Accel string

// TCG translates them and shows behaviour, not isolation strength.
const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"
)

// LinkFD is the file descriptor that QEMU inherits as the guest's only channel.
const LinkFD = 3

// Spec is one boot.
type Spec struct {
	Arch      string // GOARCH of host and guest
	Accel     Accel
	Name      string
	CPUs      int
	MemMiB    int
	Kernel    string
	Initramfs string
	Image     string // read-only root disk, empty in a probe
	Overlay   string // writable disk, empty in a probe
	Probe     bool
	// CounterKHz is how fast this host's time-stamp counter runs. 0: the guest measures it.
	CounterKHz int
}

// arch is what differs between processors.
type arch struct {
	binary, machine, console string
}

func archOf(goarch string) (arch, error) {
	switch goarch {
	case "amd64":
		// Not microvm: it hangs in several per cent of TCG boots, where q35 falls back to HPET.
		return arch{"qemu-system-x86_64", "q35,usb=off,smbus=off,sata=off,vmport=off", "ttyS0"}, nil
	case "arm64":
		return arch{"qemu-system-aarch64", "virt,gic-version=max", "ttyAMA0"}, nil
	}
	return arch{}, fmt.Errorf("smolvm-lite does not run on %s", goarch)
}

// FindQEMU returns the path of the emulator for goarch.
func FindQEMU(goarch string) (string, error) {
	a, err := archOf(goarch)
	if err != nil {
		return "", err
	}
	path, err := execx.Find(a.binary)
	if errors.Is(err, execx.ErrNotFound) {
		return "", fmt.Errorf("%s is not on PATH\n  to set it up, run: go tool mage setup", a.binary)
	}
	return path, err
}

// Args is the command line without the program. There is no network device in it, no
// monitor, and nothing that a configuration file of the host could add.
func (s Spec) Args() ([]string, error) {
	a, err := archOf(s.Arch)
	if err != nil {
		return nil, err
	}
	args := []string{
		"-name", s.Name,
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-display", "none", "-nic", "none",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-machine", a.machine,
	}
	if s.Accel == KVM {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else {
		args = append(args, "-accel", "tcg,thread=multi,tb-size=128", "-cpu", "max")
	}
	// The crypto self-tests are a fifth of the boot under TCG.
	appendLine := "console=" + a.console + " quiet panic=-1 cryptomgr.notests"
	if s.Accel == TCG { // which does not speculate
		appendLine += " mitigations=off"
	}
	if s.Arch == "amd64" {
		appendLine += " tsc=reliable"
	}
	// An emulated guest reads the host's counter. It would measure it against an emulated timer,
	// and where the host is busy then, its clock runs four times as fast in one boot of ten.
	if s.Arch == "amd64" && s.Accel == TCG && s.CounterKHz > 0 {
		appendLine += " tsc_early_khz=" + strconv.Itoa(s.CounterKHz)
	}
	if s.Probe {
		appendLine += " " + probeFlag
	}
	args = append(args,
		"-smp", strconv.Itoa(s.CPUs), "-m", strconv.Itoa(s.MemMiB),
		"-kernel", s.Kernel, "-initrd", s.Initramfs, "-append", appendLine,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
	)
	if s.Probe {
		return args, nil
	}
	image, err := disk("image", s.Image, true)
	if err != nil {
		return nil, err
	}
	overlay, err := disk("overlay", s.Overlay, false)
	if err != nil {
		return nil, err
	}
	args = append(args, image...)
	args = append(args, overlay...)
	return append(args,
		"-chardev", "socket,id=link,fd="+strconv.Itoa(LinkFD),
		"-device", "virtio-serial-pci,max_ports=2",
		"-device", "virtserialport,chardev=link,name=lite",
	), nil
}

// disk is JSON because a path may contain the commas of QEMU's own syntax. The order
// of the devices makes the first /dev/vda.
func disk(name, path string, readOnly bool) ([]string, error) {
	type file struct {
		Driver   string `json:"driver"`
		Filename string `json:"filename"`
	}
	node, err := json.Marshal(struct {
		Driver   string `json:"driver"`
		Node     string `json:"node-name"`
		ReadOnly bool   `json:"read-only"`
		Discard  string `json:"discard"`
		File     file   `json:"file"`
	}{"raw", name, readOnly, "unmap", file{"file", path}})
	if err != nil {
		return nil, fmt.Errorf("describing disk %s: %w", name, err)
	}
	return []string{"-blockdev", string(node), "-device", "virtio-blk-pci,drive=" + name}, nil
}
