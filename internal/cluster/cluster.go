// Package cluster is a bottle in the Pods of a cluster: where things are in its containers,
// and the two ends of the channel between the overseer and a daemon there.
//
// In a bundle of the engine, init starts the daemons and hands each its inputs. In a cluster
// the kubelet starts them, each in a container of its own, and a [Host] hands out the
// inputs. Invariants:
//
//   - Each daemon has a socket of its own, in a directory that only its container and the
//     overseer's mount; who connects as another user than the daemon's is refused.
//   - A question is the question of the daemon whose socket it came by.
//   - A daemon does nothing before it has its inputs, and ends when the overseer is gone.
package cluster

import "path"

// The containers' places. What [bottle.internal/internal/render/kubernetes] mounts and what
// the programs expect is the same only because both say it by these names.
const (
	GatePort = 7070
	Program  = "/usr/local/bin/bundle"

	ControlDir  = "/run/bottle/control" // a directory for each daemon
	LinkDir     = "/run/bottle/link"
	LinkKeyFile = LinkDir + "/key"
	CADir       = "/run/bottle/ca"
	CACertFile  = CADir + "/tls.crt"
	CAKeyFile   = CADir + "/tls.key"
	SecretsDir  = "/run/bottle/secrets" // a directory for each Secret
	PlanDir     = "/etc/bottle"
	PlanFile    = PlanDir + "/plan.json"

	// StateHome is the overseer's: the one writable place of a Pod whose directory is
	// sticky, as a state directory wants its parents. It ends with the Pod.
	StateHome = "/dev/shm/bottle"
)

// The users of the containers that the bundle's image has no name for.
const (
	OverseerUID = 64879
	RelayUID    = 64878
)

// DaemonDir is where the overseer and the daemon meet.
func DaemonDir(daemon string) string { return path.Join(ControlDir, daemon) }

const socketName = "socket"
