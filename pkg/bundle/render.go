package bundle

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// stopSeconds is the grace of a container: init's own, after which it has killed its
// daemons anyway.
const stopSeconds = 2

// runDirMiB bounds a daemon's directory in memory.
const runDirMiB = 16

// echoUser is nobody: the echo needs no file of its own.
const echoUser = "65534:65534"

func (s Spec) labels(kind Kind, run string) map[string]string {
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelIdentity], labels[LabelOwner] = s.Identity, s.Owner
	labels[LabelKind], labels[labelRun] = string(kind), run
	return labels
}

// networkOptions leaves the subnet to the engine, which knows what is taken.
func (s Spec) networkOptions(run string) client.NetworkCreateOptions {
	noIPv6 := false
	return client.NetworkCreateOptions{
		Driver: "bridge", EnableIPv6: &noIPv6, Labels: s.labels(KindNetwork, run),
		Options: map[string]string{"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1"},
	}
}

func (s Spec) gatePort() network.Port {
	port, _ := network.PortFrom(s.GatePort, network.TCP)
	return port
}

func (s Spec) bundleOptions(run, networkID string) client.ContainerCreateOptions {
	options := s.hardened(KindBundle, run, networkID)
	options.Config.Image, options.Config.Hostname = s.Image, "bundle"
	options.Config.Cmd = []string{"init"}
	options.Config.ExposedPorts = network.PortSet{s.gatePort(): {}}
	host := options.HostConfig
	host.Memory, host.MemorySwap = s.MemoryMiB<<20, s.MemoryMiB<<20
	host.PidsLimit = &s.PIDs
	// No host port: the engine picks a free one.
	host.PortBindings = network.PortMap{s.gatePort(): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	// init changes to each daemon's user and signals it, and can do nothing else as root;
	// the daemons have no capability at all.
	options.Config.User = "0:0"
	host.CapAdd = []string{"KILL", "SETGID", "SETUID"}
	host.Tmpfs["/run"] = "rw,noexec,nosuid,nodev,size=1m,mode=0711"
	host.ExtraHosts = s.Hosts
	for _, user := range s.Users {
		host.Tmpfs[user.RunDir] = fmt.Sprintf("rw,noexec,nosuid,nodev,size=%dm,mode=0700,uid=%d,gid=%d", runDirMiB, user.UID, user.UID)
		if user.Volume != "" {
			host.Mounts = append(host.Mounts, mount.Mount{
				Type: mount.TypeVolume, Source: KindVolume.Name(s.Identity), Target: user.Volume,
				VolumeOptions: &mount.VolumeOptions{Labels: s.labels(KindVolume, run)},
			})
		}
	}
	return options
}

func (s Spec) echoOptions(run, networkID string) client.ContainerCreateOptions {
	options := s.hardened(KindEcho, run, networkID)
	options.Config.Image, options.Config.Hostname = s.Echo.Image, "echo"
	options.Config.Cmd = []string{"echo"}
	options.Config.User = echoUser
	options.Config.StdinOnce = true // its one message is all that it gets
	host := options.HostConfig
	pids := int64(echoPIDs)
	host.Memory, host.MemorySwap, host.PidsLimit = echoMemoryMiB<<20, echoMemoryMiB<<20, &pids
	options.NetworkingConfig.EndpointsConfig[networkID].Aliases = s.Echo.Aliases
	return options
}

// hardened is what both containers have in common.
func (s Spec) hardened(kind Kind, run, networkID string) client.ContainerCreateOptions {
	grace, noInit := stopSeconds, false
	return client.ContainerCreateOptions{
		Name: kind.Name(s.Identity),
		Config: &container.Config{
			Entrypoint: []string{Program}, Labels: s.labels(kind, run),
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true,
			StopSignal: "SIGTERM", StopTimeout: &grace,
			// Readiness comes over the control channel; a check that starts a process every
			// few seconds would only cost battery.
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{
			NetworkMode:    container.NetworkMode(networkID),
			ReadonlyRootfs: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
			Init:          &noInit, // our program is PID 1, whatever the engine's default
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			LogConfig:     container.LogConfig{Type: "local", Config: map[string]string{"max-size": "10m", "max-file": "3"}},
			Tmpfs:         map[string]string{"/tmp": "rw,noexec,nosuid,nodev,size=16m,mode=1777"},
			// The daemons run without any capability and may still bind 443 in here.
			Sysctls:   map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"},
			Resources: container.Resources{Ulimits: []*container.Ulimit{{Name: "core", Soft: 0, Hard: 0}}},
		},
		NetworkingConfig: &network.NetworkingConfig{
			EndpointsConfig: map[string]*network.EndpointSettings{networkID: {}},
		},
	}
}
