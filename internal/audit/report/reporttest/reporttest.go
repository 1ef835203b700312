// Package reporttest writes the audit log of a run in which everything happens, for tests
// of its report.
package reporttest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/audit"
)

// Hostile are texts of a guest that wants to be more than a text.
func Hostile() []string {
	return []string{
		`<script>document.documentElement.dataset.fired="yes"</script>`,
		`"><img src=x onerror="document.documentElement.dataset.fired='yes'">`,
		`</code></td></tr></table><svg onload=alert(1)>`,
		`</style><style>*{display:none}</style>`, `<!-- `, `&lt;b&gt;&#60;`, `javascript:alert(1)`,
		"| a | b |\n|---|---|\n| x | y |", "`code` ``` ~~~\n```\n", `\| \` + "`" + ` \\`, `\`, "`", "``",
		"x` <b>evil</b> [evil](https://evil.example) `y", "x\\` ![evil](https://evil.example/x.png) https://evil.example `y",
		`[link](https://evil.example)`, `![image](https://evil.example/x.png)`, `<https://evil.example>`, `https://evil.example www.evil.example a@evil.example`,
		"[ref]\n\n[ref]: https://evil.example", "# heading\n- list\n> quote\n***\n", `**bold** _it_ ~~gone~~ <b>b</b>`, `@someone #1 :smile:`,
		"\x1b[2J\x1b]8;;https://evil.example\x07x", "\u202egnp.exe\u200b\u2028", "\xff\xfe", "a\x00b", `{{.Name}} {{template "none"}}`,
	}
}

// Key is the one that signs the log.
func Key(t testing.TB) audit.Key {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := audit.ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Writer writes a log with a clock of its own.
type Writer struct {
	t   testing.TB
	log *audit.Log
	mu  sync.Mutex
	now time.Time
	// Path is the log's.
	Path string
}

// New begins a log.
func New(t testing.TB) *Writer {
	t.Helper()
	w := &Writer{t: t, now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC), Path: filepath.Join(t.TempDir(), "demo-x7k2p.jsonl")}
	var err error
	if w.log, err = audit.Open(w.Path, Key(t), w.clock); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *Writer) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Say writes an event after so many seconds; its fields are JSON.
func (w *Writer) Say(after float64, source audit.Source, event, fields string) {
	w.t.Helper()
	w.mu.Lock()
	w.now = w.now.Add(time.Duration(after * float64(time.Second)))
	w.mu.Unlock()
	if err := w.log.Append(w.t.Context(), audit.Record{Source: source, Event: event, Fields: json.RawMessage(fields)}); err != nil {
		w.t.Fatalf("%s %s: %v", source, event, err)
	}
}

// Close ends it; the head is where it ends.
func (w *Writer) Close() (head string) {
	w.t.Helper()
	if err := w.log.Close(); err != nil {
		w.t.Fatal(err)
	}
	return w.log.Head().Hash
}

// Sign signs what was said, so that the next line is another batch.
func (w *Writer) Sign() {
	w.t.Helper()
	if err := w.log.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// Run writes the log of a launch that ends badly, and of its resume.
func Run(t testing.TB) *Writer {
	t.Helper()
	w := New(t)
	launch := `{"identity":"demo-x7k2p","agent":"demo","bottle":"dev","manifest":"/home/ada/app/bottle.toml","firewall":"builtin","vm_tool":"smolvm 1.9.3","recipe_key":"20a9565b06770791d8b99b7014f5b83db6318a23d8293e82a80bbe4d5220e1a1","kernel_sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}`
	w.Say(0.2, audit.Launch, "launch", launch)
	w.start()
	w.traffic()
	w.Sign()
	w.pushes()
	w.decisions()
	w.alarms()
	w.hostile()
	w.Say(4, audit.Host, "exit", `{"code":3}`)
	w.Say(0.5, audit.Host, "stopped", `{"kept":true}`)
	w.Sign()
	w.Say(3600*20, audit.Launch, "launch", launch)
	w.Say(0, audit.Host, "resumed", `{"fresh":false}`)
	w.start()
	w.connection(11, "api.example.com", 900, 120_000)
	w.Say(12, audit.Host, "exit", `{"code":0}`)
	return w
}

func (w *Writer) start() {
	for i, source := range []audit.Source{audit.Firewall, audit.Egress, audit.GitGate, audit.Supervise} {
		w.Say(0.02, source, "ready", fmt.Sprintf(`{"event":"ready","listen":"127.0.0.1:%d"}`, 8888+i))
	}
	w.Say(1.2, audit.Host, "receipt", `{"guest_trusted":true,"results":[
		{"probe":"loopback","target":"127.0.0.1:40123","expected":"blocked","control":"the host reached it","observed":"refused","hits":0,"verdict":"passed"},
		{"probe":"metadata","target":"169.254.169.254:80","expected":"blocked","control":"none: no listener can be made","observed":"no route","hits":0,"verdict":"uncontrolled"},
		{"probe":"firewall","target":"127.0.0.1:8888","expected":"answers","control":"the host asked it","observed":"403","hits":0,"verdict":"passed"}],
		"tools":{"kernel":"51349501a3d1ff83836437d2b365fd2d57f2feb8642d315e5181dec23d4c3275","smolvm-lite":"213bd3e0c3af04eb1d1c2bd6c0c53c1d4f0c6f6d7f1d3be0b7ac5d11f1a7c0ee"}}`)
	w.Say(0.1, audit.Host, "running", `{}`)
}

func (w *Writer) connection(id int, host string, up, down int) {
	w.Say(0.9, audit.Firewall, "allow", fmt.Sprintf(`{"event":"allow","id":%d,"method":"CONNECT","host":%q,"port":443,"rule":"route"}`, id, host))
	w.Say(0.3, audit.Egress, "allow", fmt.Sprintf(`{"event":"allow","id":%d,"method":"POST","host":%q,"port":443,"path":"/v1/messages"}`, id, host))
	w.Say(0.7, audit.Egress, "close", fmt.Sprintf(`{"event":"close","id":%d,"host":%q,"port":443,"status":200,"bytes_up":%d,"bytes_down":%d}`, id, host, up-100, down-100))
	w.Say(0.1, audit.Firewall, "close", fmt.Sprintf(`{"event":"close","id":%d,"host":%q,"port":443,"status":200,"bytes_up":%d,"bytes_down":%d}`, id, host, up, down))
}

func (w *Writer) traffic() {
	for id := range 6 {
		w.connection(id, "api.example.com", 18_000+id*1000, 640_000)
	}
	w.Say(0.4, audit.Firewall, "allow", `{"event":"allow","method":"GET","host":"deb.example.org","port":80,"path":"/pool"}`)
	w.Say(2, audit.Firewall, "totals", `{"event":"totals","host":"deb.example.org","port":80,"bytes_up":4000,"bytes_down":52000000,"count":3}`)
	w.Say(0.2, audit.Firewall, "fail", `{"event":"fail","method":"CONNECT","host":"db.example.net","port":5432,"problem":"connection refused"}`)
	for i := range 130 { // of which 100 are written
		w.Say(0.001, audit.Firewall, "deny", fmt.Sprintf(`{"event":"deny","method":"CONNECT","host":"h%d.example.net","port":443,"rule":"allowlist","reason":"not in the allowlist of this bottle"}`, i%30))
	}
	w.Say(1, audit.Egress, "deny", `{"event":"deny","method":"DELETE","host":"api.example.com","port":443,"path":"/v1/messages","rule":"method","reason":"DELETE is not among the methods of this route: POST"}`)
	w.Say(1, audit.GitGate, "deny", `{"event":"deny","method":"POST","path":"/app/info/lfs","reason":"not a path of this gate"}`)
	w.Say(1, audit.Firewall, "engine", `{"event":"engine","kind":"blocked","method":"GET","host":"api.example.com","scanner":"dlp","reason":"looks like a credential"}`)
}

func (w *Writer) pushes() {
	const refs = `[{"ref":"refs/heads/bottle/demo-x7k2p/fix","old":"0000000000000000000000000000000000000000","new":"d773efec4b73258f53349ea9fae820f39f326677"}]`
	w.Say(2, audit.Host, "ssh-signed", `{"remote":"app","session":"208a694783794ab9"}`)
	w.Say(0.1, audit.GitGate, "push-start", `{"event":"push-start","push":1,"remote":"app","commits":2,"refs":`+refs+`}`)
	w.Say(0.4, audit.GitGate, "push-allow", `{"event":"push-allow","push":1,"remote":"app","commits":2,"objects":9,"bytes":3030,"refs":`+refs+`}`)
	w.Say(3, audit.GitGate, "push-deny", `{"event":"push-deny","push":2,"remote":"app","commits":1,"rule":"github-pat","path":"config/prod.env","line":3,"reason":"a secret was found","refs":`+refs+`}`)
	w.Say(1, audit.GitGate, "approval", `{"event":"approval","push":3,"remote":"app","decision":"approved","reason":"changes .github/workflows/ci.yml","refs":`+refs+`}`)
	w.Say(0.3, audit.GitGate, "push-start", `{"event":"push-start","push":3,"remote":"app","commits":1,"refs":`+refs+`}`)
}

func (w *Writer) decisions() {
	const allow = `"kind":"egress-allow","host":"new.example.org","port":443,"methods":["GET"],"paths":["/"],"justification":"I need the schema of the API."`
	w.Say(2, audit.Host, "proposal", `{"id":"a1",`+allow+`}`)
	w.Say(9, audit.Host, "decision", `{"id":"a1",`+allow+`,"verdict":"approve","status":"approved","by":"ada","note":"for today","keep":false,"problem":""}`)
	w.Say(1, audit.Host, "proposal", `{"id":"a2","kind":"capability-request","capability":"docker","justification":"The tests want it."}`)
	w.Say(5, audit.Host, "decision", `{"id":"a2","kind":"capability-request","capability":"docker","status":"rejected","verdict":"reject","by":"ada","note":"not here"}`)
	w.Say(1, audit.Host, "proposal", `{"id":"a3","kind":"push-approval","remote":"app","ref":"refs/heads/main","old":"aa","new":"bb","reasons":["it is main"]}`)
	w.Say(0.2, audit.Host, "proposal-refused", `{"kind":"egress-allow","problem":"169.254.169.254 is an address"}`)
}

func (w *Writer) alarms() {
	w.Say(3, audit.Egress, "canary", `{"event":"canary","method":"POST","host":"api.example.com","port":443,"rule":"canary","reason":"canary 0 in the body","blocked":true}`)
	w.Say(0.2, audit.Egress, "exfiltration", `{"event":"exfiltration","method":"GET","host":"deb.example.org","port":80,"rule":"canary","reason":"the placeholder in the path","blocked":false}`)
}

// hostile has every field that a guest can fill say what a guest could want to say.
func (w *Writer) hostile() {
	for i, evil := range Hostile() {
		raw, err := json.Marshal(evil)
		if err != nil {
			w.t.Fatal(err)
		}
		q := string(raw)
		w.Say(0.05, audit.Egress, "deny", fmt.Sprintf(`{"event":"deny","method":%s,"host":%s,"path":%s,"rule":"hostile","reason":%s}`, q, q, q, q))
		w.Say(0.05, audit.Init, "text", fmt.Sprintf(`{"text":%s,%s:1}`, q, q))
		if i < 3 {
			w.Say(0.05, audit.Host, "proposal", fmt.Sprintf(`{"id":"h%d","kind":"capability-request","capability":%s,"justification":%s}`, i, q, q))
			w.Say(0.05, audit.GitGate, "push-deny", fmt.Sprintf(`{"push":%d,"remote":%s,"rule":%s,"path":%s,"reason":%s,"refs":[{"ref":%s,"old":%s,"new":%s}]}`, 50+i, q, q, q, q, q, q, q))
		}
	}
}
