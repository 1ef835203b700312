package doctor

import (
	"context"
	"os"
	"strings"
)

// Family is what the packages of a system are like.
type Family string

// The families that we know lines for.
const (
	Debian Family = "debian"
	Ubuntu Family = "ubuntu"
	Fedora Family = "fedora"
	Darwin Family = "darwin"
	Other  Family = "other"
)

// Privilege is how we may install packages.
type Privilege string

// The privileges.
const (
	Root Privilege = "root"
	Sudo Privilege = "sudo" // without a password
	None Privilege = "none"
)

// Services is what manages daemons.
type Services string

// The service managers.
const (
	Systemd   Services = "systemd"
	SysV      Services = "sysv"
	NoManager Services = "none" // a container, mostly
)

// Platform is what the steps depend on.
type Platform struct {
	Family    Family
	GOARCH    string
	Privilege Privilege
	Services  Services
}

// Detect looks at this machine. It changes nothing; sudo is asked without a password.
func Detect(ctx context.Context, o Options) Platform {
	o = o.withDefaults()
	s := o.System
	p := Platform{Family: Other, GOARCH: s.GOARCH, Privilege: None, Services: NoManager}
	if s.GOOS == "darwin" {
		p.Family = Darwin
		return p
	}
	release, _ := os.ReadFile(s.path("/etc/os-release"))
	p.Family = family(string(release))
	if s.UID == 0 {
		p.Privilege = Root
	} else if _, err := s.Find("sudo"); err == nil {
		if _, err := s.Run(ctx, Command{Args: []string{"sudo", "-n", "true"}}); err == nil {
			p.Privilege = Sudo
		}
	}
	first, _ := os.ReadFile(s.path("/proc/1/comm"))
	switch {
	case s.exists("/run/systemd/system"):
		p.Services = Systemd
	case strings.TrimSpace(string(first)) == "init" && s.exists("/etc/init.d/docker"):
		p.Services = SysV
	}
	return p
}

// family reads an os-release file: the system itself first, then what it is like.
func family(release string) Family {
	var ids []string
	for _, key := range []string{"ID", "ID_LIKE"} {
		for line := range strings.Lines(release) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
				ids = append(ids, strings.Fields(strings.Trim(value, `"'`))...)
			}
		}
	}
	for _, id := range ids {
		switch id {
		case "debian":
			return Debian
		case "ubuntu":
			return Ubuntu
		case "fedora", "rhel", "centos":
			return Fedora
		}
	}
	return Other
}
