//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guest/receive"
	"bottle.internal/internal/guestapi"
)

// oneFile is an archive with instructions and a file.
func oneFile(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range [][2]string{{receive.InstructionsName, "entries 1\n"}, {"home/file", "text"}} {
		err := w.WriteHeader(&tar.Header{Name: file[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(file[1]))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, file[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// daemon answers every question for its health with one status line.
func daemon(t *testing.T, status string) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 512))
			_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\n\r\n")
			_ = conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

func TestProvision(t *testing.T) {
	t.Parallel()
	well, ill := daemon(t, "200 OK"), daemon(t, "503 Service Unavailable")
	archive := oneFile(t)
	probes := []byte(`[{"name":"a","kind":"health","target":"127.0.0.1:` + well + `"},{"name":"b","kind":"tcp","target":"127.0.0.1:1"},{"name":"c","kind":"x"}]` + "\n")
	proved := guestapi.Proved(nonce) + `[{"name":"a","reached":true,"saw":"200 OK"},` +
		`{"name":"b","reached":false,"saw":"connection refused"},{"name":"c","reached":false,"saw":"there is no probe of kind \"x\""}]` + "\n"
	for _, test := range []struct {
		name    string
		port    string
		archive []byte
		want    result
	}{
		{"well", well, slices.Concat(probes, archive), result{proved, guestapi.Frame(nonce, 0), 0}},
		{"cut off", well, slices.Concat(probes, archive[:1024]), result{
			proved, "bottle-guest: files: the archive is cut off: unexpected EOF\n" + guestapi.Frame(nonce, 125), 125,
		}},
		{"ill", ill, slices.Concat(probes, archive), result{"", "bottle-guest: 127.0.0.1:" + ill + " answered \"HTTP/1.1 503 Service Unavailable\"\n", 125}},
		{"no probes", well, archive, result{"", "bottle-guest: reading probes: invalid character 'b' looking for beginning of value\n", 125}},
		{"no nonce", "", archive, result{"", "bottle-guest: nonce \"\": want 16 digits from 0-9a-f\n" + usage, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(guestapi.ReadyFile)), 0o755); err != nil {
				t.Fatal(err)
			}
			args := []string{"provision", "--nonce", nonce, test.port}
			if test.port == "" {
				args = []string{"provision", "1"}
			}
			if got := provisionRun(t, dir, test.archive, args...); got != test.want {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
			text, _ := os.ReadFile(filepath.Join(dir, "home/file"))
			_, err := os.Stat(filepath.Join(dir, guestapi.ReadyFile))
			if good := test.want.code == 0; (err == nil) != good || (string(text) == "text") != good {
				t.Errorf("the file is %q, ready: %v", text, err)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	port := daemon(t, "200 OK")
	got := provisionRun(t, t.TempDir(), []byte("[]\n"), "probe", "--nonce", nonce, port)
	if want := (result{guestapi.Proved(nonce) + "[]\n", "", 0}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func provisionRun(t *testing.T, dir string, archive []byte, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	err := execx.Run(t.Context(), execx.Cmd{
		Path: self(t), Args: args, Env: []string{dirVariable + "=" + dir},
		Stdin: bytes.NewReader(archive), Stdout: &stdout, Stderr: &stderr,
	})
	code := 0
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) {
		code = exit.Code
	} else if err != nil {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), code}
}
