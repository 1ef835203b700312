package kubernetes_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// node is a place in a document.
type node struct{ value any }

func (n node) at(keys ...string) node {
	for _, key := range keys {
		fields, _ := n.value.(map[string]any)
		n = node{fields[key]}
	}
	return n
}

func (n node) list() []node {
	var list []node
	values, _ := n.value.([]any)
	for _, value := range values {
		list = append(list, node{value})
	}
	return list
}

func (n node) String() string { return fmt.Sprint(n.value) }

func documents(t *testing.T, name string) []node {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(golden(t, name)))
	var all []node
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, node{document})
	}
}

// pods are the two Pods of a bottle by their label.
func pods(t *testing.T, name string) map[string]node {
	t.Helper()
	found := map[string]node{}
	for _, document := range documents(t, name) {
		if template := document.at("spec", "template"); template.value != nil {
			found[template.at("metadata", "labels", "bottle.kind").String()] = template.at("spec")
		}
	}
	if len(found) != 2 {
		t.Fatalf("%s has %d Pods", name, len(found))
	}
	return found
}

func containers(pod node) []node {
	return append(pod.at("initContainers").list(), pod.at("containers").list()...)
}

// What the restricted Pod Security Standard wants, and more.
func TestEveryContainerIsConfined(t *testing.T) {
	t.Parallel()
	for kind, pod := range pods(t, "full-file.yaml") {
		if got := pod.at("automountServiceAccountToken").String(); got != "false" {
			t.Errorf("the %s has an account: %s", kind, got)
		}
		for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
			if pod.at(field).value != nil {
				t.Errorf("the %s has %s", kind, field)
			}
		}
		users := map[string]string{}
		for _, c := range containers(pod) {
			security := c.at("securityContext")
			for field, want := range map[string]string{
				"runAsNonRoot": "true", "allowPrivilegeEscalation": "false", "readOnlyRootFilesystem": "true",
			} {
				if got := security.at(field).String(); got != want {
					t.Errorf("%s: %s is %s", c.at("name"), field, got)
				}
			}
			if got := security.at("capabilities").String(); got != "map[drop:[ALL]]" {
				t.Errorf("%s: capabilities %s", c.at("name"), got)
			}
			if got := security.at("seccompProfile", "type").String(); got != "RuntimeDefault" {
				t.Errorf("%s: seccomp %s", c.at("name"), got)
			}
			if c.at("resources", "limits", "memory").value == nil || c.at("resources", "limits", "cpu").value == nil {
				t.Errorf("%s has no limits", c.at("name"))
			}
			uid := security.at("runAsUser").String()
			if other, taken := users[uid]; taken && kind == "bundle" {
				t.Errorf("%s and %s are one user", other, c.at("name"))
			}
			users[uid] = c.at("name").String()
		}
	}
}

// secretsOf lists the Secrets that a container can read, with the keys of each.
func secretsOf(pod, container node) []string {
	var found []string
	for _, m := range container.at("volumeMounts").list() {
		for _, v := range pod.at("volumes").list() {
			if v.at("name").String() != m.at("name").String() || v.at("secret").value == nil {
				continue
			}
			for _, item := range v.at("secret", "items").list() {
				found = append(found, v.at("secret", "secretName").String()+"/"+item.at("key").String())
			}
		}
	}
	for _, e := range container.at("env").list() {
		if ref := e.at("valueFrom", "secretKeyRef"); ref.value != nil {
			found = append(found, ref.at("name").String()+"/"+ref.at("key").String())
		}
	}
	slices.Sort(found)
	return found
}

// A credential is the overseer's alone; the agent has what it sees on one machine too.
func TestWhoHasWhichSecret(t *testing.T) {
	t.Parallel()
	all := pods(t, "full-file.yaml")
	want := map[string]string{
		"overseer": "bottle-ca-ca-pem-f0e5fbaf/ca.crt bottle-git-app-deploy-f773781f/identity bottle-git-intern-0723b0ec/identity " +
			"bottle-git-lib-95b9f89e/identity bottle-sh-x7k2p-ca/tls.crt bottle-sh-x7k2p-ca/tls.key bottle-sh-x7k2p-link/key " +
			"bottle-token-claude-code-oauth-token/token bottle-token-gh-c7360eb5/token bottle-token-key-65ee2bc0/token",
		"relay": "bottle-sh-x7k2p-link/key",
		"files": "bottle-sh-x7k2p-ca/tls.crt",
		"agent": "bottle-ask-ask-227fe2c3/value bottle-ask-db-password-37477e03/value bottle-env-org/value",
	}
	for _, pod := range all {
		for _, c := range containers(pod) {
			name := c.at("name").String()
			if got := strings.Join(secretsOf(pod, c), " "); got != want[name] {
				t.Errorf("%s has %q, want %q", name, got, want[name])
			}
		}
	}
}

// A daemon's channel is mounted by its container and the overseer's, and by nobody else.
func TestChannelsAreNotShared(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, c := range pods(t, "full-file.yaml")["bundle"].at("containers").list() {
		for _, m := range c.at("volumeMounts").list() {
			if name := m.at("name").String(); strings.HasPrefix(name, "control-") {
				seen[name] = append(seen[name], c.at("name").String())
			}
		}
	}
	for _, daemon := range []string{"gate", "egress", "firewall", "git-gate", "supervise"} {
		if got := strings.Join(seen["control-"+daemon], " "); got != "overseer "+daemon {
			t.Errorf("the channel of the %s is mounted by %s", daemon, got)
		}
	}
}

// The first objects deny everything; what the agent may do then is one port of its bundle.
func TestPolicies(t *testing.T) {
	t.Parallel()
	var policies []node
	for i, document := range documents(t, "claude.yaml") {
		if document.at("kind").String() == "NetworkPolicy" {
			if i != len(policies) {
				t.Errorf("a policy is document %d", i)
			}
			policies = append(policies, document.at("spec"))
		}
	}
	for _, policy := range policies {
		if got := policy.at("policyTypes").String(); got != "[Ingress Egress]" {
			t.Errorf("a policy is about %s", got)
		}
	}
	deny := policies[0]
	if deny.at("ingress").value != nil || deny.at("egress").value != nil || deny.at("podSelector").String() != "map[matchLabels:map[bottle.identity:claude-x7k2p]]" {
		t.Errorf("the first policy is %s", deny)
	}
	const gate = "map[matchLabels:map[bottle.identity:claude-x7k2p bottle.kind:bundle]]"
	agent := policies[1]
	if got := agent.at("egress").String(); got != "[map[ports:[map[port:7070 protocol:TCP]] to:[map[podSelector:"+gate+"]]]]" || agent.at("ingress").value != nil {
		t.Errorf("the agent may reach %s", got)
	}
	pod := pods(t, "claude.yaml")["agent"]
	if pod.at("dnsPolicy").String() != "None" || pod.at("dnsConfig").String() != "map[nameservers:[127.0.0.1]]" {
		t.Error("the agent's Pod has a resolver")
	}
	if pod.at("runtimeClassName").String() != "kata" {
		t.Error("the agent's Pod is no VM")
	}
	if got := policies[2].at("egress").String(); strings.Contains(got, "169.254") != strings.Contains(got, "except:") {
		t.Errorf("the bundle may reach %s", got)
	}
}

// sealed comes before anything of the agent's image runs.
func TestNoAgentWithoutPolicies(t *testing.T) {
	t.Parallel()
	var order []string
	for _, c := range containers(pods(t, "claude.yaml")["agent"]) {
		order = append(order, c.at("name").String())
	}
	if got := strings.Join(order, " "); got != "relay sealed files agent" {
		t.Errorf("the order is %s", got)
	}
}
