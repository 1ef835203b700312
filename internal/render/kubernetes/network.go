package kubernetes

import (
	"maps"
	"slices"

	"bottle.internal/internal/cluster"
)

const (
	tcp = "TCP"
	udp = "UDP"

	portHTTPS = 443
	portDNS   = 53
)

// notPublic is what no bundle reaches by a route that is not private: the cluster, its nodes
// and their metadata service among it. The firewall says the same about every name; here it
// is said by somebody who is not in the Pod.
func notPublic() []string {
	return []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	}
}

func private() []string {
	return []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}
}

// network is default deny for both Pods, what is allowed of it, and the gate's address.
func (r *renderer) network() []object {
	deny := r.object("networking.k8s.io/v1", "NetworkPolicy", "deny")
	deny.Spec = networkPolicySpec{PodSelector: r.selector(""), PolicyTypes: both()}

	gate := []policyPort{{tcp, cluster.GatePort}}
	agentPods, bundlePods := r.selector(kindAgent), r.selector(kindBundle)
	agent := r.object("networking.k8s.io/v1", "NetworkPolicy", kindAgent)
	agent.Spec = networkPolicySpec{
		PodSelector: agentPods, PolicyTypes: both(),
		Egress: []egress{{To: []peer{{PodSelector: &bundlePods}}, Ports: gate}},
	}
	bundle := r.object("networking.k8s.io/v1", "NetworkPolicy", kindBundle)
	bundle.Spec = networkPolicySpec{
		PodSelector: bundlePods, PolicyTypes: both(),
		Ingress: []ingress{{From: []peer{{PodSelector: &agentPods}}, Ports: gate}},
		Egress:  append([]egress{dns()}, r.upstreams()...),
	}
	service := r.object("v1", "Service", "")
	service.Spec = serviceSpec{
		Selector: bundlePods.MatchLabels,
		Ports:    []servicePort{{Name: "gate", Protocol: tcp, Port: cluster.GatePort, TargetPort: cluster.GatePort}},
	}
	return []object{deny, agent, bundle, service}
}

func both() []string { return []string{"Ingress", "Egress"} }

// dns is the cluster's resolver. The agent's Pod has none.
func dns() egress {
	return egress{
		To: []peer{{
			NamespaceSelector: &selector{map[string]string{"kubernetes.io/metadata.name": "kube-system"}},
			PodSelector:       &selector{map[string]string{"k8s-app": "kube-dns"}},
		}},
		Ports: []policyPort{{udp, portDNS}, {tcp, portDNS}},
	}
}

// upstreams opens the ports of the plan, and private ranges only where a route says so.
func (r *renderer) upstreams() []egress {
	public, opened := map[int]bool{}, map[string]map[int]bool{} // by range
	open := func(port int, isPrivate bool, ranges []string) {
		if !isPrivate { // ranges that a route names are added to what is public
			public[port] = true
		} else if len(ranges) == 0 {
			ranges = private()
		}
		for _, cidr := range ranges {
			if opened[cidr] == nil {
				opened[cidr] = map[int]bool{}
			}
			opened[cidr][port] = true
		}
	}
	for _, host := range r.plan.Firewall.Hosts {
		open(host.Port, host.Private, host.AllowPrivate)
	}
	for _, remote := range r.plan.Git.Remotes {
		open(remote.Port, remote.Private, remote.AllowPrivate)
	}
	if r.plan.Supervise { // what is approved later is a host of this port
		public[portHTTPS] = true
	}
	var list []egress
	if len(public) > 0 {
		list = append(list, egress{To: []peer{{IPBlock: &ipBlock{CIDR: "0.0.0.0/0", Except: notPublic()}}}, Ports: tcpPorts(public)})
	}
	for _, cidr := range slices.Sorted(maps.Keys(opened)) {
		list = append(list, egress{To: []peer{{IPBlock: &ipBlock{CIDR: cidr}}}, Ports: tcpPorts(opened[cidr])})
	}
	return list
}

func tcpPorts(ports map[int]bool) []policyPort {
	var list []policyPort
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		list = append(list, policyPort{tcp, port})
	}
	return list
}
