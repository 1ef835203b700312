package kubernetes

import (
	"fmt"
	"slices"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/daemons"
)

// The volumes that more than one container has.
const (
	volumePlan  = "plan"
	volumeLink  = "link"
	volumeCA    = "ca"
	volumeFiles = "files"
	volumeTrust = "trust"
	volumeHome  = "home"
	volumeTmp   = "tmp"
)

const (
	overseerProgram = "/usr/local/bin/bottle"
	planKey         = "plan.json"
	inMemory        = "Memory"
	readable        = 0o440 // by the group, which is the Pod's own
)

// bundle is the Pod that has the credentials: a container for each daemon and one for the
// overseer, which alone mounts Secrets.
func (r *renderer) bundle(references []reference) ([]object, error) {
	text, err := r.plan.JSON()
	if err != nil {
		return nil, err
	}
	config := r.object("v1", "ConfigMap", volumePlan)
	config.Immutable, config.Data = true, map[string]string{planKey: string(text)}

	overseer, volumes := r.overseer(references)
	spec := podSpec{
		Hostname: "bundle", TerminationGrace: 5, SecurityContext: podSecurity{
			RunAsNonRoot: true, FSGroup: cluster.OverseerUID, SeccompProfile: runtimeDefault(),
			// The daemons run without any capability and may still bind 443 in here.
			Sysctls: []sysctl{{"net.ipv4.ip_unprivileged_port_start", "0"}},
		},
		Containers: []container{overseer},
	}
	for _, d := range daemons.All() {
		if d.Name != daemons.Gate && !slices.Contains(r.plan.Daemons, d.Name) {
			continue
		}
		c, own := r.daemon(d)
		spec.Containers, volumes = append(spec.Containers, c), append(volumes, own...)
	}
	spec.Volumes = volumes
	deployment := r.object("apps/v1", "Deployment", kindBundle)
	deployment.Spec = deploymentSpec{
		Replicas: 1, Strategy: strategy{"Recreate"}, Selector: r.selector(kindBundle),
		Template: podTemplate{Metadata: meta{Labels: r.labels(kindBundle)}, Spec: spec},
	}
	return []object{config, deployment}, nil
}

func (r *renderer) overseer(references []reference) (container, []volume) {
	c := container{
		Name: "overseer", Image: r.options.Images.Overseer,
		Command:         []string{overseerProgram, "oversee"},
		Env:             []envVar{value("HOME", cluster.StateHome), value("XDG_STATE_HOME", cluster.StateHome)},
		Resources:       resources{quantities{CPU: "10m", Memory: "32Mi"}, quantities{CPU: "1", Memory: "128Mi"}},
		SecurityContext: confined(cluster.OverseerUID),
		VolumeMounts: []mount{
			{Name: volumePlan, MountPath: cluster.PlanDir, ReadOnly: true},
			{Name: volumeLink, MountPath: cluster.LinkDir, ReadOnly: true},
			{Name: volumeCA, MountPath: cluster.CADir, ReadOnly: true},
		},
	}
	volumes := []volume{
		{Name: volumePlan, ConfigMap: &configMapVolume{Name: r.name(volumePlan)}},
		r.linkVolume(),
		{Name: volumeCA, Secret: &secretVolume{r.secret(volumeCA), []keyPath{{keyCert, keyCert}, {keyPrivate, keyPrivate}}, readable}},
	}
	for i, ref := range references {
		name := fmt.Sprintf("secret-%d", i)
		c.VolumeMounts = append(c.VolumeMounts, mount{Name: name, MountPath: cluster.SecretsDir + "/" + ref.name, ReadOnly: true})
		volumes = append(volumes, volume{Name: name, Secret: &secretVolume{ref.name, []keyPath{{ref.key, ref.key}}, readable}})
	}
	for _, d := range daemons.All() {
		if d.Name == daemons.Gate || slices.Contains(r.plan.Daemons, d.Name) {
			c.VolumeMounts = append(c.VolumeMounts, control(d.Name))
		}
	}
	return c, volumes
}

func (r *renderer) linkVolume() volume {
	return volume{Name: volumeLink, Secret: &secretVolume{r.secret(volumeLink), []keyPath{{keyLink, keyLink}}, readable}}
}

func control(daemon string) mount {
	return mount{Name: "control-" + daemon, MountPath: cluster.DaemonDir(daemon)}
}

// daemon is one program of the bundle, with the places that it alone may write.
func (r *renderer) daemon(d daemons.Daemon) (container, []volume) {
	c := container{
		Name: d.Name, Image: r.options.Images.Bundle, Command: []string{cluster.Program, "serve", d.Name},
		Resources:       resources{quantities{CPU: "10m", Memory: "32Mi"}, quantities{CPU: "1", Memory: "128Mi"}},
		SecurityContext: confined(d.UID),
		VolumeMounts:    []mount{control(d.Name), {Name: "run-" + d.Name, MountPath: d.RunDir()}},
	}
	volumes := []volume{memory("control-"+d.Name, 1), memory("run-"+d.Name, 16)}
	switch d.Name {
	case daemons.Gate:
		c.Ports = []containerPort{{cluster.GatePort}}
		// The kubelet cannot reach the other daemons, which listen on the Pod's loopback.
		c.ReadinessProbe = &probe{Exec: dialled("127.0.0.1", cluster.GatePort), PeriodSeconds: 15, TimeoutSeconds: 5, FailureThreshold: 3}
	case daemons.GitGate:
		c.Resources.Limits.Memory = "512Mi"
		c.VolumeMounts = append(c.VolumeMounts, mount{Name: "mirrors", MountPath: d.Volume}, mount{Name: volumeTmp, MountPath: "/tmp"})
		volumes = append(volumes, volume{Name: "mirrors", EmptyDir: &emptyDir{SizeLimit: "5Gi"}}, memory(volumeTmp, 16))
	}
	return c, volumes
}

// dialled proves that somebody listens, from inside the Pod.
func dialled(host string, port int) execAction {
	return execAction{[]string{cluster.Program, "dial", fmt.Sprintf("%s:%d", host, port)}}
}

func memory(name string, mebibytes int) volume {
	return volume{Name: name, EmptyDir: &emptyDir{Medium: inMemory, SizeLimit: fmt.Sprintf("%dMi", mebibytes)}}
}

func value(name, text string) envVar {
	escaped := literal(text)
	return envVar{Name: name, Value: &escaped}
}

func runtimeDefault() seccomp { return seccomp{"RuntimeDefault"} }

// confined is what every container has in common.
func confined(uid int) containerSecurity {
	return containerSecurity{
		RunAsUser: uid, RunAsGroup: uid, RunAsNonRoot: true, ReadOnlyRootFilesystem: true,
		Capabilities: capabilities{[]string{"ALL"}}, SeccompProfile: runtimeDefault(),
	}
}
