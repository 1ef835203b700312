package kubernetes

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/plan"
)

const (
	filesDir   = "/run/bottle/files"
	trustDir   = "/run/bottle/trust"
	gitConfig  = "/etc/gitconfig"
	gitKey     = "gitconfig"
	homeItems  = "home/"
	maxMapSize = 1 << 20 // of a ConfigMap
)

// agent is the Pod of the agent: a VM that has the files of the plan and a way to the gate.
func (r *renderer) agent() ([]object, error) {
	files := r.object("v1", "ConfigMap", volumeFiles)
	items, err := r.files(&files)
	if err != nil {
		return nil, err
	}
	vm := r.plan.VM
	spec := podSpec{
		RuntimeClassName: r.options.RuntimeClass, RestartPolicy: "Never", TerminationGrace: 5, Hostname: "bottle",
		// The gate's address comes as a variable: a resolver would be a way out.
		EnableServiceLinks: true, DNSPolicy: "None", DNSConfig: &dnsConfig{[]string{"127.0.0.1"}},
		SecurityContext: podSecurity{RunAsNonRoot: true, FSGroup: guestapi.AgentGID, SeccompProfile: runtimeDefault()},
		InitContainers:  []container{r.relay(), r.sealed(), r.unpack()},
		Containers:      []container{r.agentContainer()},
		Volumes: []volume{
			r.linkVolume(),
			{Name: volumeCA, Secret: &secretVolume{r.secret(volumeCA), []keyPath{{keyCert, keyCert}}, readable}}, // without the key
			{Name: volumeFiles, ConfigMap: &configMapVolume{r.name(volumeFiles), items}},
			memory(volumeTrust, 1),
			{Name: volumeHome, EmptyDir: &emptyDir{SizeLimit: gib(vm.DiskGiB)}},
			{Name: volumeTmp, EmptyDir: &emptyDir{SizeLimit: gib(1)}},
		},
	}
	job := r.object("batch/v1", "Job", "")
	job.Spec = jobSpec{Template: podTemplate{Metadata: meta{Labels: r.labels(kindAgent)}, Spec: spec}}
	return []object{files, job}, nil
}

// files puts what the plan wants in the guest into the ConfigMap, and says where each key goes.
func (r *renderer) files(config *object) ([]keyPath, error) {
	config.Immutable, config.Data = true, map[string]string{}
	var items []keyPath
	size := 0
	for _, file := range r.outfit.Files {
		inHome, isHome := strings.CutPrefix(file.Path, guestapi.AgentHome+"/")
		switch {
		case file.Mode&fs.ModeDir != 0, file.Path == guestapi.EnvFile: // the environment is the container's
			continue
		case file.Path == gitConfig:
			config.Data[gitKey] = string(file.Data)
			items = append(items, keyPath{gitKey, gitKey})
		case isHome:
			key := strings.ReplaceAll(homeItems+inHome, "/", "__")
			config.Data[key] = string(file.Data)
			items = append(items, keyPath{key, homeItems + inHome})
		default:
			return nil, fmt.Errorf("putting %s into the Pod: only the agent's home can be written there", file.Path)
		}
		size += len(file.Data)
	}
	if size > maxMapSize {
		return nil, fmt.Errorf("the agent's files have %d bytes: a ConfigMap holds %d", size, maxMapSize)
	}
	return items, nil
}

// relay is the way out: it listens where the agent looks, and proves the key to the gate. It
// ends with the agent.
func (r *renderer) relay() container {
	command := append([]string{cluster.Program, "relay"}, r.gate()...)
	for _, port := range r.ports() {
		command = append(command, strconv.Itoa(port))
	}
	return container{
		Name: "relay", Image: r.options.Images.Bundle, Command: command, RestartPolicy: "Always",
		StartupProbe:    &probe{Exec: dialled("127.0.0.1", plan.PortFirewall), PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 120},
		Resources:       small(),
		SecurityContext: confined(cluster.RelayUID),
		VolumeMounts:    []mount{{Name: volumeLink, MountPath: cluster.LinkDir, ReadOnly: true}},
	}
}

// gate is the address of the bundle's Service, as the kubelet tells it.
func (r *renderer) gate() []string {
	host := "$(" + strings.ToUpper(strings.ReplaceAll(r.name(""), "-", "_")) + "_SERVICE_HOST)"
	return []string{host, strconv.Itoa(cluster.GatePort)}
}

// sealed waits until the gate can be reached and the cluster's own API, which is there, cannot
// be: a cluster that does not enforce the policies gets no agent.
func (r *renderer) sealed() container {
	return container{
		Name: "sealed", Image: r.options.Images.Bundle,
		Command:   append([]string{cluster.Program, "sealed", "$(KUBERNETES_SERVICE_HOST)", "$(KUBERNETES_SERVICE_PORT)"}, r.gate()...),
		Resources: small(), SecurityContext: confined(cluster.RelayUID),
	}
}

// unpack copies the files to where the agent may change them, and adds the bundle's authority
// to the image's own.
func (r *renderer) unpack() container {
	script := fmt.Sprintf("cat %s %s >%s/%s\nif [ -d %s/home ]; then umask 077; cp -RL %s/home/. %s/; fi\nmkdir -p \"$1\"\n",
		guestapi.CABundle, cluster.CACertFile, trustDir, path.Base(guestapi.CABundle), filesDir, filesDir, guestapi.AgentHome)
	return container{
		Name: "files", Image: r.options.Images.Agent,
		Command:   []string{"/bin/sh", "-ec", literal(script), "files", literal(r.plan.Workdir)},
		Resources: small(), SecurityContext: confined(guestapi.AgentUID),
		VolumeMounts: []mount{
			{Name: volumeFiles, MountPath: filesDir, ReadOnly: true},
			{Name: volumeCA, MountPath: cluster.CADir, ReadOnly: true},
			{Name: volumeTrust, MountPath: trustDir},
			{Name: volumeHome, MountPath: guestapi.AgentHome},
		},
	}
}

func (r *renderer) agentContainer() container {
	vm := r.plan.VM
	memory := fmt.Sprintf("%dMi", vm.MemoryMiB)
	noPrompt := r.plan.Prompt.Guest == ""
	c := container{
		Name: kindAgent, Image: r.options.Images.Agent, WorkingDir: r.plan.Workdir,
		// Without a prompt the agent reads it: kubectl attach -i.
		Stdin: noPrompt, StdinOnce: noPrompt,
		Env: []envVar{
			value("HOME", guestapi.AgentHome), value("USER", guestapi.AgentUser), value("LOGNAME", guestapi.AgentUser),
		},
		Resources: resources{
			// What a VM has taken it does not give back: it is reserved as a whole.
			Requests: quantities{CPU: "250m", Memory: memory, Ephemeral: gib(1)},
			Limits:   quantities{CPU: strconv.Itoa(vm.CPUs), Memory: memory, Ephemeral: gib(vm.DiskGiB + 1)},
		},
		SecurityContext: confined(guestapi.AgentUID),
		VolumeMounts: []mount{
			{Name: volumeHome, MountPath: guestapi.AgentHome},
			{Name: volumeTmp, MountPath: "/tmp"},
			// Kata does not mount a single file of a volume.
			{Name: volumeTrust, MountPath: path.Dir(guestapi.CABundle), ReadOnly: true},
		},
	}
	for _, word := range r.plan.Command {
		c.Command = append(c.Command, literal(word))
	}
	for _, env := range r.plan.Env {
		switch {
		case env.Visible():
			ref := envOf(env)
			c.Env = append(c.Env, envVar{Name: env.Name, ValueFrom: &valueFrom{secretKey{ref.name, ref.key}}})
		case env.Source != plan.SourceLaunch:
			c.Env = append(c.Env, value(env.Name, env.Value))
		}
	}
	if r.hasFile(gitConfig) {
		c.Env = append(c.Env, value("GIT_CONFIG_SYSTEM", filesDir+"/"+gitKey))
		c.VolumeMounts = append(c.VolumeMounts, mount{Name: volumeFiles, MountPath: filesDir, ReadOnly: true})
	}
	return c
}

func (r *renderer) hasFile(name string) bool {
	for _, file := range r.outfit.Files {
		if file.Path == name {
			return true
		}
	}
	return false
}

func small() resources {
	return resources{quantities{CPU: "10m", Memory: "32Mi"}, quantities{CPU: "1", Memory: "64Mi"}}
}

func gib(n int) string { return fmt.Sprintf("%dGi", n) }
