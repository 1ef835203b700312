// Package plan decides everything about a launch before anything happens: from the
// manifest, the request and a few facts about the host it makes a Plan.
//
// It keeps these invariants:
//   - [Resolve] is pure: the same input gives the same bytes. No clock, no environment, no disk.
//   - A [Plan] is a plain JSON value. It holds no address, no handle, and no secret: a
//     credential appears as the name of its source only.
//   - Everything after Resolve (preflight, dry run, launch) reads the Plan and never the manifest.
package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Format is the version of the JSON form.
const Format = 1

// Guest ports of the daemons, and the kinds of env source that the manifest does not have.
const (
	PortFirewall  = 8888
	PortGitGate   = 9420
	PortSupervise = 9100

	// SourceTemplate marks values that the template sets.
	SourceTemplate = "template"
	// SourceBottle marks values that make the boundary work (proxies, CA, prompt).
	SourceBottle = "bottle"
	// SourceLaunch marks values that are known only once things run.
	SourceLaunch = "launch"
)

// What happens when one of the bottle's fake credentials is seen.
const (
	CanaryCut  = "cut"  // the bottle loses its network
	CanaryWarn = "warn" // the operator is told
)

// Cuts reports whether the bottle is cut off when a canary is seen.
func (p Plan) Cuts() bool { return p.OnCanary != CanaryWarn }

// Placeholder stands in the guest where a program insists on a credential.
const Placeholder = "bottle-placeholder"

// Plan is all that a launch needs to know. An At is a file and a line, such as
// "bottle.toml:12": where somebody wrote it; nothing is decided by it.
type Plan struct {
	Format    int      `json:"format"`
	Identity  string   `json:"identity"`
	Agent     string   `json:"agent"`
	Bottle    string   `json:"bottle"`
	Template  string   `json:"template"`
	Manifest  Manifest `json:"manifest"`
	Command   []string `json:"command"`
	Workdir   string   `json:"workdir"`
	Prompt    Prompt   `json:"prompt"`
	Skills    []Skill  `json:"skills"`
	Files     []File   `json:"files"`
	StateDirs []string `json:"state_dirs"` // guest directories worth keeping for resume
	Env       []Env    `json:"env"`
	Image     Image    `json:"image"`
	VM        VM       `json:"vm"`
	Daemons   []string `json:"daemons"`
	Ports     []Port   `json:"ports"`
	Firewall  Firewall `json:"firewall"`
	Egress    []Route  `json:"egress"`
	Git       Git      `json:"git"`
	Supervise bool     `json:"supervise"`
	OnCanary  string   `json:"on_canary,omitempty"` // CanaryCut, also when it is "", or CanaryWarn
	Echo      []string `json:"echo"`
	// Model is the echo name that plays a model's API from a script; "" means none.
	Model string `json:"model,omitempty"`
	// DemoApproves lists the hosts whose request the demo approves by itself, in place of
	// the human. Only template demo has any, and only echo names.
	DemoApproves []string `json:"demo_approves,omitempty"`
	// At says where the bottle itself, and what is a single value of it, was written.
	At        map[string]string `json:"at"`
	Labels    map[string]string `json:"labels"`
	Warnings  []string          `json:"warnings"`
	Workspace *Workspace        `json:"workspace,omitempty"`
}

// Manifest says where the agent was defined.
type Manifest struct {
	Path    string `json:"path"`
	FromCwd bool   `json:"from_cwd"`
	At      string `json:"at,omitempty"`
}

// Prompt is what the agent is told first. Text and File exclude each other; both are
// empty without a prompt.
type Prompt struct {
	Text  string `json:"text,omitempty"`
	File  string `json:"file,omitempty"`  // on the host, may begin with ~/
	Root  string `json:"root,omitempty"`  // directory that File may not lead out of
	Guest string `json:"guest,omitempty"` // where it goes
}

// Skill is a directory that is copied into the guest.
type Skill struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`  // on the host, may begin with ~/
	Root string `json:"root"` // directory that Dir may not lead out of
}

// File is a small text file that the template wants in the guest, owned by the agent, mode 0600.
type File struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Env is one variable of the guest. Value is there only where it is no secret.
type Env struct {
	Name   string `json:"name"`
	Source string `json:"source"`         // literal, host, prompt, template, bottle or launch
	From   string `json:"from,omitempty"` // host: the variable; prompt: the question
	Value  string `json:"value,omitempty"`
	At     string `json:"at,omitempty"`
}

// Visible reports whether the agent sees a value that came from the operator.
func (e Env) Visible() bool { return e.Source == "host" || e.Source == "prompt" }

// Image is the agent's image, by recipe key: no image is built to make a plan.
type Image struct {
	Recipe string   `json:"recipe"`
	Key    string   `json:"key"`
	Tools  []string `json:"tools"`
}

// VM is the machine.
type VM struct {
	Name      string `json:"name"`
	Tool      string `json:"tool"`
	Version   string `json:"version"`
	Note      string `json:"note,omitempty"` // what a stand-in has to say about itself
	CPUs      int    `json:"cpus"`
	MemoryMiB int    `json:"memory_mib"`
	DiskGiB   int    `json:"disk_gib"`
}

// Port is a guest port on 127.0.0.1 that ends in a daemon.
type Port struct {
	Daemon string `json:"daemon"`
	Guest  int    `json:"guest"`
}

// Firewall is the only way out.
type Firewall struct {
	Engine string `json:"engine"`
	Bottle string `json:"bottle"` // whose table lists the hosts: this bottle, or one that it extends
	Hosts  []Host `json:"hosts"`
}

// Host is one entry of the allowlist.
type Host struct {
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	Scheme       string   `json:"scheme"`
	Private      bool     `json:"private"`
	AllowPrivate []string `json:"allow_private,omitempty"`
	Mode         string   `json:"mode"` // "plain" (spliced) or "routed" (to egress)
	At           string   `json:"at,omitempty"`
}

// Route is what egress does for a routed host.
type Route struct {
	Host            string   `json:"host"`
	Port            int      `json:"port"`
	Methods         []string `json:"methods"`
	Paths           []string `json:"paths"`
	Auth            *Auth    `json:"auth,omitempty"`
	Private         bool     `json:"private"`
	AllowPrivate    []string `json:"allow_private,omitempty"`
	WebSocket       bool     `json:"websocket"`
	PassHeaders     []string `json:"pass_headers"`
	AllowMint       bool     `json:"allow_mint"`
	BypassesGitGate bool     `json:"bypasses_git_gate"`
	UpstreamCA      string   `json:"upstream_ca,omitempty"`
	EchoCA          bool     `json:"echo_ca,omitempty"` // the upstream is verified against the echo's own authority
	At              string   `json:"at,omitempty"`
}

// Auth is a reference to a credential.
type Auth struct {
	Header string   `json:"header"`
	Scheme string   `json:"scheme"`
	Source string   `json:"source"`        // env, file or cmd
	Name   string   `json:"name"`          // variable, file or program
	Cmd    []string `json:"cmd,omitempty"` // the whole command
}

func (a Auth) String() string { return a.Source + ":" + a.Name }

// Git is the git gate.
type Git struct {
	Bottle  string   `json:"bottle"` // whose table lists the remotes
	Remotes []Remote `json:"remotes"`
	User    *User    `json:"user,omitempty"`
}

// Remote is one repository behind the gate. One of the echo upstream has neither
// IdentityFile nor KnownHostKey: the launch makes both.
type Remote struct {
	Name         string   `json:"name"`
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	User         string   `json:"user"`
	Path         string   `json:"path"`
	IdentityFile string   `json:"identity_file,omitempty"`
	KnownHostKey string   `json:"known_host_key,omitempty"`
	Private      bool     `json:"private"`
	AllowPrivate []string `json:"allow_private,omitempty"`
	Echo         bool     `json:"echo,omitempty"`
	Branches     []string `json:"branches"`
	Approve      bool     `json:"approve"`
	Protect      []string `json:"protect"`
	At           string   `json:"at,omitempty"`
}

// User is the author of the agent's commits.
type User struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	At    string `json:"at,omitempty"`
}

// JSON is the one printed form: indented, with a final newline.
func (p Plan) JSON() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("printing the plan: %w", err)
	}
	return b.Bytes(), nil
}
