package npm_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/npm"
)

// host has a project and a home directory with the given .npmrc files, and no npm.
func host(t *testing.T, project, user string, env ...string) npm.Host {
	t.Helper()
	h := npm.Host{Dir: t.TempDir(), Home: t.TempDir(), Env: env}
	for dir, text := range map[string]string{h.Dir: project, h.Home: user} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, ".npmrc"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func TestRegistryIsTheUsersChoice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		project, user string
		env           []string
		pkg, want     string
	}{
		{"environment first", "registry=https://project.test/", "registry=https://user.test/", []string{"NPM_CONFIG_REGISTRY=https://env.test/npm"}, "x", "https://env.test/npm/"},
		{"lower case too", "", "", []string{"npm_config_registry=https://env.test"}, "x", "https://env.test/"},
		{"project before user", "; ours\nregistry = \"https://project.test/\"", "registry=https://user.test/", nil, "x", "https://project.test/"},
		{"user", "# nothing", "registry=https://user.test/", nil, "x", "https://user.test/"},
		{"a scope has its own", "", "registry=https://user.test/\n@acme:registry=https://acme.test/", nil, "@acme/x", "https://acme.test/"},
		{"another scope has not", "", "registry=https://user.test/\n@acme:registry=https://acme.test/", nil, "@other/x", "https://user.test/"},
		{"variables", "", "registry=https://${WHERE}.test/", []string{"WHERE=there"}, "x", "https://there.test/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			settings, err := npm.Load(t.Context(), host(t, test.project, test.user, test.env...))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := settings.Registry(test.pkg); err != nil || got.String() != test.want {
				t.Errorf("registry = %v, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestBadRegistryIsNotPrinted(t *testing.T) {
	t.Parallel()
	settings, err := npm.Load(t.Context(), host(t, "", "registry=ftp://me:hunter2@files.test/"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = settings.Registry("x")
	want := "the npm registry for x is not an http or https address\n" +
		"set NPM_CONFIG_REGISTRY=https://..., or write registry=https://... into ~/.npmrc"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v\nwant  %s", err, want)
	}
}

func TestNoRegistry(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	settings, err := npm.Load(t.Context(), host(t, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Registry("x"); !errors.Is(err, npm.ErrNoRegistry) {
		t.Errorf("err = %v", err)
	}
}

func TestNpmItselfIsAskedLast(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho \"$* $MARK\" >&2\n[ \"$*\" = 'config get registry' ] && echo https://$MARK.test/\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	settings, err := npm.Load(t.Context(), host(t, "", "", "MARK=asked"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := settings.Registry("x"); err != nil || got.String() != "https://asked.test/" {
		t.Errorf("registry = %v, %v", got, err)
	}
}

// TestCredentials asks a registry for a package and looks at what it was shown.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, project, user string
		want, warning       string
	}{
		{name: "none", want: ""},
		{name: "token", user: "//HOST/npm/:_authToken=t0ken", want: "Bearer t0ken"},
		{name: "token from the environment", user: "//HOST/:_authToken=${TOKEN}", want: "Bearer from-env"},
		{name: "the longest path wins", user: "//HOST/:_authToken=short\n//HOST/npm/:_authToken=long", want: "Bearer long"},
		{name: "basic", user: "//HOST/npm/:_auth=bWU6cHc=", want: "Basic bWU6cHc="},
		{name: "user and password", user: "//HOST/npm/:username=me\n//HOST/npm/:_password=cHc=", want: "Basic bWU6cHc="},
		{name: "another host's token stays here", user: "//other.test/:_authToken=t0ken", want: ""},
		{name: "a longer host name is another host", user: "//HOST.other.test/:_authToken=t0ken", want: ""},
		{name: "a project's own token", project: "//HOST/npm/:_authToken=theirs", want: "Bearer theirs"},
		{
			name: "a project cannot pick from the environment", project: "//HOST/npm/:_authToken=${TOKEN}", want: "",
			warning: "PROJECT/.npmrc:1: ignored: a project's .npmrc may not use the environment; put the line into ~/.npmrc",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shown := make(chan string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				shown <- r.Header.Get("Authorization")
				http.Error(w, "no", http.StatusForbidden)
			}))
			t.Cleanup(server.Close)
			name := strings.TrimPrefix(server.URL, "http://")
			fill := func(text string) string { return strings.ReplaceAll(text, "HOST", name) }
			h := host(t, fill(test.project), fill(test.user), "TOKEN=from-env", "NPM_CONFIG_REGISTRY="+server.URL+"/npm/")
			settings, err := npm.Load(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			d := &npm.Downloader{Dir: t.TempDir(), Settings: settings, HTTP: server.Client(), Events: event.Discard()}
			_, err = d.Fetch(t.Context(), npm.Package{Name: "x", Version: "1.0.0", Integrity: integrity("anything")})
			want := fmt.Sprintf("fetching npm package x 1.0.0: refused: %s answered 403 Forbidden\n"+
				"if it is a private registry, put //%s/:_authToken=... into ~/.npmrc", name, name)
			if err == nil || err.Error() != want {
				t.Errorf("err = %v\nwant  %s", err, want)
			}
			if got := <-shown; got != test.want {
				t.Errorf("Authorization = %q, want %q", got, test.want)
			}
			if got := strings.Join(settings.Warnings, "\n"); got != strings.ReplaceAll(test.warning, "PROJECT", h.Dir) {
				t.Errorf("warnings = %q", got)
			}
			if printed := fmt.Sprintf("%+v %#v", settings, settings); strings.Contains(printed, "t0ken") || strings.Contains(printed, "from-env") {
				t.Errorf("settings print a secret: %s", printed)
			}
		})
	}
}
