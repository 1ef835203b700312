package bundle

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const (
	// Program is the path of the multi-call program in the image.
	Program = "/usr/local/bin/bundle"
	// DefaultGatePort is the container port of init's gate.
	DefaultGatePort = 7070

	defaultMemoryMiB = 512
	defaultPIDs      = 256
	echoMemoryMiB    = 128
	echoPIDs         = 64
)

// The labels on everything that Start makes.
const (
	LabelIdentity = "bottle.identity"
	LabelKind     = "bottle.kind"
	LabelOwner    = "bottle.owner"
	labelRun      = "bottle.run" // one Start, so that a failed one can find what it made
)

// Kind is the value of LabelKind.
type Kind string

// The kinds of resource.
const (
	KindBundle  Kind = "bundle"
	KindNetwork Kind = "network"
	KindEcho    Kind = "echo"
	KindVolume  Kind = "volume"
)

// Name is the resource's name in the engine.
func (k Kind) Name(identity string) string {
	if k == KindEcho || k == KindVolume {
		return "bottle-" + identity + "-" + string(k)
	}
	return "bottle-" + identity
}

// Thing is what the engine calls it.
func (k Kind) Thing() string {
	if k == KindBundle || k == KindEcho {
		return "container"
	}
	return string(k)
}

// Spec describes one bundle.
type Spec struct {
	Identity  string   // such as demo-x7k2p: names and labels come from it
	Owner     string   // whose state directory this belongs to, for cleanup
	Image     string   // reference or id of an image that the engine has
	Users     []User   // of the daemons that will run
	Hosts     []string // NAME:ADDRESS lines for the container's hosts file
	GatePort  uint16   // 0 means DefaultGatePort
	Labels    map[string]string
	MemoryMiB int64 // 0 means 512
	PIDs      int64 // 0 means 256
	Echo      *Echo
	// Logs gets the stderr of the container. It must not block for long: the control
	// channel shares its way. Its errors are ignored. nil discards.
	Logs io.Writer
}

// User is a daemon's identity in the container, with the places that it alone may write.
type User struct {
	UID    int
	RunDir string // a small tmpfs
	Volume string // a volume that goes with the container; "" for none
}

// Echo is an upstream in the bundle's network, for the demo and tests.
type Echo struct {
	Image   string
	Aliases []string  // its names in the network
	Stdin   []byte    // written to it once; its first line on stdout says that it serves
	Logs    io.Writer // gets both of its outputs, one Write at a time, as Spec.Logs
}

var (
	identityPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}-[a-z0-9]{5}$`)
	ownerPattern    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	aliasPattern    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
)

func (s Spec) check() error {
	var problems []error
	if !identityPattern.MatchString(s.Identity) {
		problems = append(problems, fmt.Errorf("identity %.50q: it looks like demo-x7k2p", s.Identity))
	}
	if !ownerPattern.MatchString(s.Owner) {
		problems = append(problems, fmt.Errorf("owner %.80q: 1 to 64 letters, digits, dots, dashes", s.Owner))
	}
	if s.Image == "" {
		problems = append(problems, errors.New("image: it is empty"))
	}
	if s.MemoryMiB < 0 || s.PIDs < 0 {
		problems = append(problems, errors.New("memory and pids: none may be negative"))
	}
	for _, user := range s.Users {
		if user.UID <= 0 || !strings.HasPrefix(user.RunDir, "/run/") {
			problems = append(problems, fmt.Errorf("user %d with %q: daemons are not root and live below /run", user.UID, user.RunDir))
		}
	}
	if s.Echo != nil {
		if s.Echo.Image == "" {
			problems = append(problems, errors.New("echo image: it is empty"))
		}
		for _, alias := range s.Echo.Aliases {
			if !aliasPattern.MatchString(alias) {
				problems = append(problems, fmt.Errorf("echo alias %.80q: it is no host name", alias))
			}
		}
	}
	return errors.Join(problems...)
}

func (s Spec) withDefaults() Spec {
	if s.GatePort == 0 {
		s.GatePort = DefaultGatePort
	}
	if s.MemoryMiB == 0 {
		s.MemoryMiB = defaultMemoryMiB
	}
	if s.PIDs == 0 {
		s.PIDs = defaultPIDs
	}
	if s.Logs == nil {
		s.Logs = io.Discard
	}
	s.Logs = forgiving{s.Logs}
	if s.Echo != nil {
		echo := *s.Echo
		if echo.Logs == nil {
			echo.Logs = io.Discard
		}
		echo.Logs = &oneAtATime{out: echo.Logs}
		s.Echo = &echo
	}
	return s
}
