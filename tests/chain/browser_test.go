//go:build integration

package chain

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/integration/rig"
)

const chromium = "/usr/bin/chromium"

// page tries everything that a page can do with a port, at each of the targets, and tells
// its own server what it saw.
const page = `<!doctype html><body><script>
const patience = (p) => Promise.race([p, new Promise(done => setTimeout(() => done("silent"), 4000))]);
async function attempts(base) {
  const seen = {};
  const on = (p, good) => patience(p.then(good, () => "failed"));
  seen.fetch = await on(fetch(base + "/health").then(r => r.text()), text => "read " + text);
  seen.opaque = await on(fetch(base + "/health", {mode: "no-cors"}), () => "answered");
  seen.post = await on(fetch(base + "/mcp", {method: "POST", mode: "no-cors", body: "{}"}), () => "answered");
  seen.image = await patience(new Promise(done => {
    const image = new Image();
    image.onload = () => done("loaded"); image.onerror = () => done("failed");
    image.src = base + "/pixel.gif";
  }));
  seen.socket = await patience(new Promise(done => {
    const socket = new WebSocket(base.replace("http", "ws") + "/socket");
    socket.onopen = () => done("open"); socket.onerror = () => done("failed");
  }));
  seen.form = await patience(new Promise(done => {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = "frame" + Math.random(); form.target = frame.name;
    form.method = "POST"; form.action = base + "/form";
    window.addEventListener("message", e => { if (e.source === frame.contentWindow) done("answered"); });
    document.body.append(frame, form); form.submit();
  }));
  return seen;
}
(async () => {
  const all = {};
  await Promise.all(%s.map(async base => all[base] = await attempts(base)));
  await fetch("/report", {method: "POST", body: JSON.stringify(all)});
})();
</script></body>`

// alive is a server on another port of the loopback that lets every page in.
func alive(t *testing.T) (port string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = io.WriteString(w, "alive")
	})
	mux.HandleFunc("/pixel.gif", func(w http.ResponseWriter, _ *http.Request) {
		pixel, _ := base64.StdEncoding.DecodeString("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")
		_, _ = w.Write(pixel)
	})
	mux.HandleFunc("/form", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<script>parent.postMessage("here", "*")</script>`)
	})
	mux.Handle("/socket", websocket.Handler(func(c *websocket.Conn) { _, _ = c.Read(make([]byte, 1)) }))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return portOf(server.Listener.Addr().String())
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// A page in a browser of this machine gets nothing of a daemon, at the address or at a
// name of its own that leads there. Without web security it may read whatever comes back,
// which is more than any rebinding gives it.
func TestWebPage(t *testing.T) {
	if _, err := os.Stat(chromium); err != nil {
		if rig.Required("chromium") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b := start(t)
	control, gate := alive(t), portOf(b.sidecar.Gate())
	for name, flags := range map[string][]string{"as it is": nil, "without web security": {"--disable-web-security"}} {
		t.Run(name, func(t *testing.T) {
			seen := browse(t, flags, "http://127.0.0.1:"+control, "http://rebound.bottle.test:"+control, "http://127.0.0.1:"+gate, "http://rebound.bottle.test:"+gate)
			for _, host := range []string{"http://127.0.0.1:", "http://rebound.bottle.test:"} {
				want := map[string]string{"fetch": "read alive", "opaque": "answered", "post": "answered", "image": "loaded", "socket": "open", "form": "answered"}
				for how, what := range want {
					if got := seen[host+control][how]; got != what {
						t.Errorf("the control: %s by %s: %q, want %q", host+control, how, got, what)
					}
					got := seen[host+gate][how]
					if got != "failed" && (how != "form" || got != "silent") {
						t.Errorf("the gate at %s by %s: %q", host+gate, how, got)
					}
				}
			}
		})
	}
	for _, port := range []uint16{portFirewall, portGit, portSupervise} {
		if got := b.health(port); got.status != http.StatusOK {
			t.Errorf("afterwards port %d: %s", port, got)
		}
	}
}

// browse opens the page in a browser of its own and returns what it saw.
func browse(t *testing.T, flags []string, targets ...string) map[string]map[string]string {
	t.Helper()
	list, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, page, list)
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		if report, err := io.ReadAll(r.Body); err == nil {
			reports <- report
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var said journal
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	profile := t.TempDir()
	go func() {
		ended <- execx.Run(ctx, execx.Cmd{
			Path: chromium, Stdout: &said, Stderr: &said, Dir: profile, Grace: 2 * time.Second,
			Args: append([]string{
				"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
				"--disable-component-update", "--disable-sync", "--no-proxy-server", "--user-data-dir=" + profile,
				"--host-resolver-rules=MAP rebound.bottle.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
			}, append(flags, server.URL+"/")...),
			Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile, "LC_ALL=C"},
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	seen := map[string]map[string]string{}
	select {
	case report := <-reports:
		if err := json.Unmarshal(report, &seen); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		ended <- nil
		t.Fatalf("the browser ended: %v\n%s", err, &said)
	case <-ctx.Done():
		t.Fatalf("%v: the page reports nothing\n%s", ctx.Err(), &said)
	}
	return seen
}
