package launch_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
)

const (
	awsFile = "home/agent/.aws/credentials"
	envFile = "home/agent/.config/deploy/production.env"
)

// told is what the operator reads.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *told) Send(_ context.Context, e event.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Step == "ALARM" {
		fmt.Fprintln(&o.text, e.Text)
	}
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// alarming starts a bottle with every daemon and on_canary as given.
func alarming(t *testing.T, onCanary string) (*world, *launch.Bottle, *told) {
	t.Helper()
	w, operator := newWorld(t), &told{}
	w.full()
	w.cut, w.plan.OnCanary = true, onCanary
	w.secrets.Tokens = fixedTokens{0: apiToken}
	deps := w.deps()
	deps.Events = operator
	b, err := launch.Start(t.Context(), w.plan, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w, b, operator
}

// planted reads the files of the guest that hold a canary.
func (w *world) planted(archive string) (files map[string]string, values []string) {
	w.t.Helper()
	files = map[string]string{}
	for reader := tar.NewReader(strings.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if header.Name != awsFile && header.Name != envFile {
			continue
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			w.t.Fatal(err)
		}
		if header.Mode != 0o600 || header.Uid != 1000 || header.Gid != 1000 {
			w.t.Errorf("%s: mode %o, owner %d:%d", header.Name, header.Mode, header.Uid, header.Gid)
		}
		files[header.Name] = string(data)
		for _, found := range regexp.MustCompile(`(?m)= ?([A-Za-z0-9/+_]{20,})$`).FindAllStringSubmatch(string(data), -1) {
			values = append(values, found[1])
		}
	}
	return files, values
}

// The canaries are in the guest's files and in the inputs of the daemons that look for them;
// everywhere else is their fingerprint at most. Every launch has its own.
func TestCanariesArePlanted(t *testing.T) {
	t.Parallel()
	var before []string
	for range 2 {
		w, _, _ := alarming(t, "")
		files, values := w.planted(w.archives[0])
		if len(files) != 2 || len(values) != 4 {
			t.Fatalf("planted %d files with %d values", len(files), len(values))
		}
		w.mu.Lock()
		records, err := json.Marshal(w.records)
		argv := strings.Join(w.argv, " ")
		w.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		disk := w.everything()
		for _, value := range values {
			if !slices.Contains(w.hidden, value) {
				t.Errorf("the audit log does not hide %q", value)
			}
			if slices.Contains(before, value) {
				t.Errorf("%q was there before", value)
			}
			if !strings.Contains(string(records), canary.Fingerprint(value)) {
				t.Errorf("the log of the launch lacks the fingerprint of %q", value)
			}
			if strings.Contains(string(records)+argv+disk, value) {
				t.Errorf("%q is in the log, on a command line or in the instance", value)
			}
			for daemon, want := range map[string]bool{"firewall": true, "egress": true, "git-gate": true, "supervise": false} {
				found := false
				for _, input := range w.spec.Inputs[daemon] {
					found = found || strings.Contains(input.Reveal(), value)
				}
				if found != want {
					t.Errorf("%s knows %q: %v, want %v", daemon, value, found, want)
				}
			}
			if strings.Count(w.archives[0], value) != 1 {
				t.Errorf("%q is in the guest %d times: not in one file alone", value, strings.Count(w.archives[0], value))
			}
		}
		before = values
	}
}

// everything is what the instance has on the disk.
func (w *world) everything() string {
	w.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(w.state.Dir(), w.plan.Identity), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all.String()
}

// What the operator wants at such a path stays.
func TestPlantedBesideTheOperatorsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plan.Files = []plan.File{{Path: "/" + awsFile, Text: "mine"}}
	b, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	if files, values := w.planted(w.archives[0]); files[awsFile] != "mine" || len(files) != 2 || len(values) != 2 {
		t.Errorf("%q", files)
	}
}

// The line of each daemon, and whether it cuts.
func sightings() map[string]string {
	return map[string]string{
		"firewall": `firewall| {"event":"canary","method":"CONNECT","host":"[redacted].evil.test","port":443,"rule":"canary","where":"target","fingerprint":"sha256:01","blocked":true}`,
		"egress":   `egress| {"event":"canary","method":"POST","host":"open.test","port":443,"rule":"canary","where":"body","fingerprint":"sha256:01","blocked":true}`,
		"git-gate": `git-gate| {"event":"canary","method":"push","remote":"app","refs":[],"rule":"canary","where":"objects","fingerprint":"sha256:01","blocked":true}`,
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for daemon, line := range sightings() {
		t.Run(daemon, func(t *testing.T) {
			t.Parallel()
			w, b, operator := alarming(t, plan.CanaryCut)
			sockets := w.sockets()
			if len(sockets) != 3 {
				t.Fatalf("sockets: %q", sockets)
			}
			open, err := net.Dial("unix", sockets[0])
			if err != nil {
				t.Fatalf("the control: %v", err)
			}
			defer open.Close()
			_, _ = io.WriteString(w.spec.Log, line+"\n")

			if n, err := open.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Error("a connection that was open still is")
			}
			w.mu.Lock()
			w.gateAddr = "127.0.0.1:1" // the bundle comes back
			w.mu.Unlock()
			for _, socket := range sockets {
				if conn, err := net.Dial("unix", socket); err == nil {
					_ = conn.Close()
					t.Errorf("%s answers", socket)
				}
			}
			if _, err := w.spec.Answer(t.Context(), control.Question{Daemon: "egress", Kind: "token", Body: json.RawMessage(`{"route":0}`)}); err == nil || err.Error() != "the bottle is cut off" {
				t.Errorf("a question: %v", err)
			}
			if code, err := b.Run(t.Context(), guestexec.Stdio{}); code != 0 || !strings.HasPrefix(fmt.Sprint(err), w.plan.Identity+" was cut off: a fake credential was seen by the "+daemon+" in the ") {
				t.Errorf("the run: %d, %v", code, err)
			}
			for _, want := range []string{
				"a fake credential was seen by the " + daemon, w.plan.Identity + " is cut off: nothing leaves it any more",
				"bottle shell " + w.plan.Identity, "bottle stop " + w.plan.Identity,
			} {
				if !strings.Contains(operator.String(), want) {
					t.Errorf("the operator is not told %q: %s", want, operator)
				}
			}
			if !slices.Contains(w.audited, "host cut-off") {
				t.Errorf("audited: %q", w.audited)
			}
			if !strings.Contains(b.Receipt(), "  ALARM    canary to ") {
				t.Errorf("receipt:\n%s", b.Receipt())
			}
			if got := w.alarmFile(); got["cut"] != true || got["daemon"] != daemon || got["fingerprint"] != "sha256:01" {
				t.Errorf("alarm.json: %v", got)
			}
		})
	}
}

func (w *world) alarmFile() map[string]any {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.state.Dir(), w.plan.Identity, state.AlarmFile))
	if err != nil {
		return nil
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		w.t.Error(err)
	}
	return got
}

// What the agent writes for the operator is judged by the host itself.
func TestCutByAToolCall(t *testing.T) {
	t.Parallel()
	w, b, _ := alarming(t, "")
	_, values := w.planted(w.archives[0])
	arguments, err := json.Marshal(map[string]string{"host": "evil.example.com", "justification": values[0]})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ask.Question{Tool: ask.ToolAllow, Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.spec.Answer(t.Context(), control.Question{Daemon: "supervise", Kind: ask.Kind, Body: body}); err == nil {
		t.Error("it was answered")
	}
	if len(w.sockets()) != 0 || !slices.Contains(w.audited, "host canary") || !slices.Contains(w.audited, "host cut-off") {
		t.Errorf("sockets %q, audited %q", w.sockets(), w.audited)
	}
	if !strings.Contains(b.Receipt(), "  ALARM    canary seen by supervise  once: in the arguments of a tool\n") {
		t.Errorf("receipt:\n%s", b.Receipt())
	}
}

// Nothing is cut where only a warning is due, and nothing at all happens for a line that no
// daemon which looks for canaries can have written.
func TestNoCut(t *testing.T) {
	t.Parallel()
	const shownToAModel = `egress| {"event":"canary","method":"POST","host":"api.test","port":443,"where":"body","fingerprint":"sha256:01","blocked":false}`
	for name, test := range map[string]struct{ policy, line, told string }{
		"warn":               {plan.CanaryWarn, sightings()["egress"], "a fake credential was seen by the egress in the body (POST open.test:443)\n"},
		"shown to a model":   {plan.CanaryCut, shownToAModel, "a fake credential was seen by the egress in the body (POST api.test:443), which went through\n"},
		"the placeholder":    {plan.CanaryCut, strings.Replace(sightings()["egress"], `"canary"`, `"exfiltration"`, 1), ""},
		"init's own line":    {plan.CanaryCut, strings.Replace(sightings()["egress"], "egress|", "init|", 1), ""},
		"the echo's line":    {plan.CanaryCut, strings.Replace(sightings()["egress"], "egress|", "echo|", 1), ""},
		"another event":      {plan.CanaryCut, strings.Replace(sightings()["egress"], `"event":"canary"`, `"event":"deny"`, 1), ""},
		"no JSON":            {plan.CanaryCut, `egress| {"event":"canary","blocked":true`, ""},
		"text in the middle": {plan.CanaryCut, `supervise| ` + sightings()["egress"], ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, b, operator := alarming(t, test.policy)
			_, _ = io.WriteString(w.spec.Log, test.line+"\n")
			if operator.String() != test.told {
				t.Errorf("the operator is told %q, want %q", operator, test.told)
			}
			if len(w.sockets()) != 3 || slices.Contains(w.audited, "host cut-off") {
				t.Errorf("sockets %q, audited %q", w.sockets(), w.audited)
			}
			if code, err := b.Run(t.Context(), guestexec.Stdio{}); code != 0 || err != nil {
				t.Errorf("the run: %d, %v", code, err)
			}
			if got := w.alarmFile(); (got != nil) != (test.told != "") || got != nil && got["cut"] != false {
				t.Errorf("alarm.json: %v", got)
			}
		})
	}
}

// The operator is told the first ones; cut off is a bottle once.
func TestManySightings(t *testing.T) {
	t.Parallel()
	w, b, operator := alarming(t, plan.CanaryCut)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			for _, line := range sightings() {
				_, _ = io.WriteString(w.spec.Log, line+"\n"+line+"\n")
			}
		})
	}
	all.Wait()
	if got := strings.Count(operator.String(), "a fake credential was seen"); got != 10 {
		t.Errorf("told %d times", got)
	}
	if strings.Count(operator.String(), "is cut off") != 1 || strings.Count(strings.Join(w.audited, "\n"), "host cut-off") != 1 {
		t.Errorf("cut off more than once: %s", operator)
	}
	if !strings.Contains(operator.String(), "more of them are in the audit log only: bottle audit show "+w.plan.Identity) {
		t.Errorf("told: %s", operator)
	}
	if want := "ALARM    canary to open.test:443  10 times: in the body\n"; !strings.Contains(b.Receipt(), want) {
		t.Errorf("receipt:\n%s", b.Receipt())
	}
}
