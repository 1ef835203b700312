//go:build integration

package report

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/audit/report"
	"bottle.internal/internal/audit/report/reporttest"
	"bottle.internal/internal/execx"
	"bottle.internal/tests/integration/rig"
)

const chromium = "/usr/bin/chromium"

// inject is what an attacker would like to have in the page.
const inject = `<script>document.documentElement.dataset.fired="yes"</script>` +
	`<img src="x" onerror="document.documentElement.dataset.fired='yes'">`

// The page of a hostile run renders in a browser, says what it should and runs nothing: by
// its escapes alone, and by its policy alone. Without both the same page runs a script.
func TestBrowser(t *testing.T) {
	if _, err := os.Stat(chromium); err != nil {
		if rig.Required("chromium") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	page := hostilePage(t)
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
	if len(policy.FindAllString(page, -1)) != 1 {
		t.Fatal("the page has no policy")
	}
	bare := policy.ReplaceAllString(page, "")
	broken := func(page string) string { return strings.Replace(page, "</header>", inject+"</header>", 1) }
	for _, test := range []struct {
		name, page     string
		fired, console bool
	}{
		{"as it is", page, false, false},
		{"without the policy", bare, false, false},
		{"without the escapes", broken(page), false, true}, // the browser says what it refused
		{"without both", broken(bare), true, true},         // the image is not there
	} {
		t.Run(test.name, func(t *testing.T) {
			dom, said := browse(t, test.page)
			if fired := strings.Contains(dom, `data-fired="yes"`); fired != test.fired {
				t.Errorf("a script ran: %v, want %v\n%s", fired, test.fired, said)
			}
			if console := strings.Contains(said, "CONSOLE"); console != test.console && test.name != "without both" {
				t.Errorf("the console has messages: %v, want %v\n%s", console, test.console, said)
			}
			for _, want := range []string{
				`<h1>demo-x7k2p</h1>`, `<b class="no">2</b><span class="name">alarms</span>`, "56.0 MB", "the log has no end of it",
				"canary 0 in the body", "config/prod.env:3", "The audit log is intact", "<code>api.example.com:443</code>", `<path class="t-alarm"`,
			} {
				if !strings.Contains(dom, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
}

// The policy names the style sheet by its digest: a browser that refused it would say so, and
// the page would be as high as an unstyled one.
func TestPolicyOfStyle(t *testing.T) {
	if _, err := os.Stat(chromium); err != nil {
		t.Skip(err) // TestBrowser says whether that is a failure
	}
	page := hostilePage(t)
	changed := strings.Replace(page, "<style>", "<style>h1{color:red}", 1)
	if _, said := browse(t, changed); !strings.Contains(said, "Content Security Policy") {
		t.Errorf("the browser takes another style sheet:\n%s", said)
	}
}

func hostilePage(t *testing.T) string {
	t.Helper()
	w := reporttest.Run(t)
	head := w.Close()
	file, err := os.Open(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := report.New()
	expect := audit.Expect{Key: reporttest.Key(t).Public(), Head: head}
	summary, err := audit.Scan(file, expect, b.Visit)
	var page bytes.Buffer
	if err := errors.Join(err, report.HTML(&page, b.Report(report.About{Name: "demo-x7k2p"}, expect, summary, err))); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// browse shows a page in a browser of its own and returns what became of it.
func browse(t *testing.T, page string) (dom, said string) {
	t.Helper()
	profile := t.TempDir()
	path := filepath.Join(profile, "page.html")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	err := execx.Run(ctx, execx.Cmd{
		Path: chromium, Stdout: &out, Stderr: &errs, Dir: profile, Grace: 2 * time.Second,
		Args: []string{
			"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--no-proxy-server", "--user-data-dir=" + profile, "--host-resolver-rules=MAP * ~NOTFOUND",
			"--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", "file://" + path,
		},
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile, "LC_ALL=C"},
	})
	if err != nil {
		t.Fatalf("the browser: %v\n%s", err, &errs)
	}
	return out.String(), errs.String()
}
