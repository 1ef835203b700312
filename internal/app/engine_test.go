package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The engine is the one that the docker command would use: DOCKER_HOST, then the context of
// DOCKER_CONTEXT, then the current one of the configuration.
func TestEngineHostFollowsTheDockerContext(t *testing.T) {
	home := t.TempDir()
	write := func(dir, current string, contexts map[string]string) string {
		t.Helper()
		files := map[string]string{"config.json": fmt.Sprintf(`{"currentContext":%q}`, current)}
		for name, host := range contexts {
			sum := sha256.Sum256([]byte(name))
			files["contexts/meta/"+hex.EncodeToString(sum[:])+"/meta.json"] = fmt.Sprintf(`{"Name":%q,"Endpoints":{"docker":{"Host":%q}}}`, name, host)
		}
		for name, text := range files {
			path := filepath.Join(home, dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return filepath.Join(home, dir)
	}
	write("with/.docker", "mine", map[string]string{"mine": "unix:///run/mine.sock", "other": "unix:///run/other.sock", "empty": ""})
	elsewhere := write("elsewhere", "far", map[string]string{"far": "tcp://127.0.0.1:2375"})
	for name, test := range map[string]struct {
		home    string
		environ []string
		want    string
		err     string
	}{
		"no configuration":    {"none", nil, "", ""},
		"the current one":     {"with", nil, "unix:///run/mine.sock", ""},
		"DOCKER_CONTEXT":      {"with", []string{"DOCKER_CONTEXT=other"}, "unix:///run/other.sock", ""},
		"the default context": {"with", []string{"DOCKER_CONTEXT=default"}, "", ""},
		"DOCKER_HOST":         {"with", []string{"DOCKER_HOST=unix:///x.sock", "DOCKER_CONTEXT=other"}, "", ""},
		"DOCKER_CONFIG":       {"with", []string{"DOCKER_CONFIG=" + elsewhere}, "tcp://127.0.0.1:2375", ""},
		"an unknown one":      {"with", []string{"DOCKER_CONTEXT=gone"}, "", `there is no Docker context "gone"`},
		"one without engine":  {"with", []string{"DOCKER_CONTEXT=empty"}, "", `the Docker context "empty" names no engine`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, append([]string{"HOME=" + filepath.Join(home, test.home)}, test.environ...)...)
			got, err := a.engineHost()
			if text := fmt.Sprint(err); got != test.want || (err != nil || test.err != "") && text != test.err {
				t.Errorf("engineHost() = %q, %v; want %q, %q", got, err, test.want, test.err)
			}
			if test.err == "" {
				return
			}
			_, err = a.engine(t.Context())
			var problem *Problem
			if !errors.As(err, &problem) || !slices.Equal(problem.HintLines(), []string{"docker context ls"}) {
				t.Errorf("engine() = %v", err)
			}
		})
	}
}
