package npm_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/npm"
)

func integrity(content string) string {
	sum := sha512.Sum512([]byte(content))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// registry serves one tarball and can misbehave on the first requests.
type registry struct {
	*httptest.Server
	content string

	mu   sync.Mutex
	seen []string                                           // path and range of each request
	next []func(w http.ResponseWriter, content string) bool // one per request; false: go on normally
}

func serve(t *testing.T, content string, next ...func(http.ResponseWriter, string) bool) *registry {
	t.Helper()
	r := &registry{content: content, next: next}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, strings.TrimSpace(request.URL.Path+" "+request.Header.Get("Range")))
	var special func(http.ResponseWriter, string) bool
	if len(r.next) > 0 {
		special, r.next = r.next[0], r.next[1:]
	}
	r.mu.Unlock()
	if special == nil || !special(w, r.content) {
		http.ServeContent(w, request, "", time.Time{}, strings.NewReader(r.content))
	}
}

func (r *registry) requests() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.seen, "\n")
}

func status(code int) func(http.ResponseWriter, string) bool {
	return func(w http.ResponseWriter, _ string) bool {
		http.Error(w, "no", code)
		return true
	}
}

// breakAfter announces everything and hangs up after n bytes.
func breakAfter(n int) func(http.ResponseWriter, string) bool {
	return func(w http.ResponseWriter, content string) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write([]byte(content[:n]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func (r *registry) downloader(t *testing.T) *npm.Downloader {
	t.Helper()
	settings, err := npm.Load(t.Context(), npm.Host{Dir: t.TempDir(), Home: t.TempDir(), Env: []string{"NPM_CONFIG_REGISTRY=" + r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return &npm.Downloader{Dir: t.TempDir(), Settings: settings, HTTP: r.Client(), Events: event.Discard(), Pause: time.Millisecond}
}

func files(t *testing.T, d *npm.Downloader) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.Dir, "npm", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, file := range found {
		_, kind, _ := strings.Cut(filepath.Base(file), ".")
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, " ")
}

func TestFetch(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 5000)
	const first = "/@acme/tool/-/tool-1.2.3-linux-x64.tgz"
	for _, test := range []struct {
		name     string
		next     []func(http.ResponseWriter, string) bool
		part     string
		requests string
	}{
		{"plain", nil, "", first},
		{"retry", []func(http.ResponseWriter, string) bool{status(503), status(429)}, "", first + "\n" + first + "\n" + first},
		{"resume after a break", []func(http.ResponseWriter, string) bool{breakAfter(20000)}, "", first + "\n" + first + " bytes=20000-"},
		{"resume an earlier run's part", nil, content[:12345], first + " bytes=12345-"},
		{"a part that does not fit", nil, "other content", first + " bytes=13-\n" + first},
		{"a part that is the whole", nil, content, first + " bytes=50000-\n" + first},
		{"a part and no ranges", []func(http.ResponseWriter, string) bool{func(w http.ResponseWriter, content string) bool {
			_, _ = w.Write([]byte(content))
			return true
		}}, content[:7], first + " bytes=7-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, content, test.next...)
			d := r.downloader(t)
			pkg := npm.Package{Name: "@acme/tool", Version: "1.2.3-linux-x64", Integrity: integrity(content)}
			if test.part != "" {
				plant(t, d, pkg, test.part)
			}
			path, err := d.Fetch(t.Context(), pkg)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if got := r.requests(); got != test.requests {
				t.Errorf("requests:\n%s\nwant:\n%s", got, test.requests)
			}
			if _, err := d.Fetch(t.Context(), pkg); err != nil || r.requests() != test.requests {
				t.Errorf("the cached tarball was asked for again: %v", err)
			}
			if got := files(t, d); got != "tgz tgz.size" {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// plant leaves what an interrupted download of pkg would have left.
func plant(t *testing.T, d *npm.Downloader, pkg npm.Package, content string) {
	t.Helper()
	sum, err := npm.Digest(pkg.Integrity)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(d.Dir, "npm", fmt.Sprintf("%x", sum)[:64]+".tgz.part")
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedTarballIsFetchedAgain(t *testing.T) {
	t.Parallel()
	r := serve(t, "the whole")
	d := r.downloader(t)
	pkg := npm.Package{Name: "tool", Version: "1.0.0", Integrity: integrity("the whole")}
	for range 2 {
		path, err := d.Fetch(t.Context(), pkg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "the whole" {
			t.Errorf("%q, %v", got, err)
		}
		if err := os.Truncate(path, 3); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFetchErrors(t *testing.T) {
	t.Parallel()
	busy := status(500)
	for _, test := range []struct {
		name, content, want string
		next                []func(http.ResponseWriter, string) bool
	}{
		{
			name: "wrong hash", content: "evil",
			want: "fetching npm package tool 1.0.0: wrong integrity\n" +
				"the recipe pins " + integrity("good") + "\nthe registry sent " + integrity("evil") + "\n" +
				"the package was replaced or is not the one that was pinned: do not go on before you know why",
		},
		{
			name: "gone", next: []func(http.ResponseWriter, string) bool{status(404), status(404)},
			want: "fetching npm package tool 1.0.0: not found on HOST",
		},
		{
			name: "down", next: []func(http.ResponseWriter, string) bool{busy, busy, busy, busy},
			want: "fetching npm package tool 1.0.0: HOST answered 500 Internal Server Error",
		},
		{
			name: "unwilling", next: []func(http.ResponseWriter, string) bool{status(410)},
			want: "fetching npm package tool 1.0.0: refused: HOST answered 410 Gone",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, test.content, test.next...)
			d := r.downloader(t)
			_, err := d.Fetch(t.Context(), npm.Package{Name: "tool", Version: "1.0.0", Integrity: integrity("good")})
			want := strings.ReplaceAll(test.want, "HOST", strings.TrimPrefix(r.URL, "http://"))
			if err == nil || err.Error() != want {
				t.Errorf("err = %v\nwant  %s", err, want)
			}
			if test.name == "wrong hash" && files(t, d) != "" {
				t.Errorf("wrong bytes were kept: %s", files(t, d))
			}
		})
	}
}

func TestTarballElsewhere(t *testing.T) {
	t.Parallel()
	content := "elsewhere"
	var r *registry
	r = serve(t, content, status(404), func(w http.ResponseWriter, _ string) bool {
		_, _ = fmt.Fprintf(w, `{"dist":{"tarball":%q}}`, r.URL+"/files/tool")
		return true
	})
	d := r.downloader(t)
	if _, err := d.Fetch(t.Context(), npm.Package{Name: "@a/tool", Version: "1.0.0", Integrity: integrity(content)}); err != nil {
		t.Fatal(err)
	}
	if got, want := r.requests(), "/@a/tool/-/tool-1.0.0.tgz\n/@a/tool/1.0.0\n/files/tool"; got != want {
		t.Errorf("requests:\n%s\nwant:\n%s", got, want)
	}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	r := serve(t, "x", func(w http.ResponseWriter, _ string) bool {
		_ = http.NewResponseController(w).Flush()
		<-done
		return true
	})
	d := r.downloader(t)
	d.Attempts, d.Stall = 1, 20*time.Millisecond
	_, err := d.Fetch(t.Context(), npm.Package{Name: "tool", Version: "1.0.0", Integrity: integrity("x")})
	close(done)
	if want := "fetching npm package tool 1.0.0: the registry sent nothing for 20ms"; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

// TestParallel holds every request until all packages were asked for, and lets two
// fetches of each package share one download.
func TestParallel(t *testing.T) {
	t.Parallel()
	const packages = 3
	var arrived sync.WaitGroup
	arrived.Add(packages)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		_, _ = fmt.Fprint(w, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	d := (&registry{Server: server}).downloader(t)
	var group sync.WaitGroup
	for i := range 2 * packages {
		name := fmt.Sprintf("tool%d", i%packages)
		content := fmt.Sprintf("/%s/-/%s-1.0.0.tgz", name, name)
		group.Go(func() {
			_, err := d.Fetch(t.Context(), npm.Package{Name: name, Version: "1.0.0", Integrity: integrity(content)})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestProgressIsReported(t *testing.T) {
	t.Parallel()
	content := string(bytes.Repeat([]byte("x"), 1<<20))
	d := serve(t, content).downloader(t)
	var kinds []string
	d.Events = event.SinkFunc(func(_ context.Context, e event.Event) {
		kinds = append(kinds, string(e.Kind))
		if e.Text != "tool 1.0.0" || e.Step != "download" || (e.Kind == event.Progress && e.Total != 1<<20) {
			t.Errorf("event %+v", e)
		}
	})
	if _, err := d.Fetch(t.Context(), npm.Package{Name: "tool", Version: "1.0.0", Integrity: integrity(content)}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, "start progress ") || !strings.HasSuffix(got, " done") {
		t.Errorf("events: %s", got)
	}
}
