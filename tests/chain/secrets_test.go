//go:build integration

package chain

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"bottle.internal/internal/daemons"
	"bottle.internal/tests/need"
)

// The spy runs as each daemon's user, as if an agent had taken it over. Its own process
// and directory show that it can look where it may.
func TestDaemonsApart(t *testing.T) {
	b := start(t)
	b.clone(t) // so that git-gate has something of its own
	places := []string{"/var/lib/git-gate"}
	for _, d := range daemons.All() {
		places = append(places, d.RunDir())
	}
	for _, d := range daemons.All() {
		user := fmt.Sprintf("%d:%d", d.UID, d.UID)
		said := b.exec(t, b.container(), user, append([]string{spyPath}, places...)...)
		var want []string
		for _, other := range daemons.All() {
			want = append(want, "bundle "+other.Name+": environ denied, mem denied, fd denied, caps 0000000000000000")
		}
		want = append(want, "bundle init: environ denied, mem denied, fd denied, caps 00000000000000e0")
		slices.Sort(want)
		want = append(want, "spy: environ open, mem open, fd open, caps 0000000000000000")
		for _, place := range places {
			sees := "denied"
			if place == d.RunDir() || place == d.Volume {
				sees = "open"
			}
			want = append(want, place+": "+sees)
		}
		if got := strings.TrimSpace(said); got != strings.Join(want, "\n") {
			t.Errorf("as %s the spy says\n%s\nwant\n%s", d.Name, got, strings.Join(want, "\n"))
		}
	}
}

// needles are spellings of what nobody may find, by what they are.
type needles map[string][][]byte

// add lists a value as it is, in hexadecimal, and in base64 at each of three offsets.
func (n needles) add(what string, value []byte) {
	forms := [][]byte{value, []byte(hex.EncodeToString(value)), []byte(strings.ToUpper(hex.EncodeToString(value)))}
	for offset := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, offset), value...))
			// The first and the last characters belong to the neighbours too.
			forms = append(forms, []byte(text[(offset*8+5)/6:len(text)-2]))
		}
	}
	n[what] = append(n[what], forms...)
}

// in names what of n is in data.
func (n needles) in(data []byte) []string {
	var found []string
	for what, forms := range n {
		if slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(data, form) }) {
			found = append(found, what)
		}
	}
	return found
}

// secretsOf is what the bundle was given and must not show.
func (b *bottle) secretsOf(t *testing.T) needles {
	t.Helper()
	n := needles{}
	n.add("the token", []byte(b.realToken))
	token, err := os.ReadFile(b.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	n.add("the token of a file", bytes.TrimSpace(token))
	n.add("the link key", b.key.Reveal())
	for what, text := range map[string]string{"the authority's key": b.authority.KeyPEM().Reveal(), "the ssh key": b.sshKey.Reveal()} {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			t.Fatalf("%s is no PEM", what)
		}
		n.add(what, block.Bytes)
		n[what] = append(n[what], bytes.Split([]byte(text), []byte("\n"))[1]) // a line of it as it is
	}
	return n
}

// No secret is anywhere that outlives the bundle or that another program reads: in the
// engine's records, in logs, in /proc, in any file.
func TestSecretsStayInMemory(t *testing.T) {
	b := start(t)
	if got := b.once(t, api+"/v1/x"); got.status != 200 || got.echoed(t).Credential != "the real one" {
		t.Fatalf("the control: the bundle has the token: %s", got)
	}
	b.clone(t) // uses the ssh key
	n := b.secretsOf(t)
	n.add("planted", []byte(planted))

	t.Run("the search finds what is there", func(t *testing.T) {
		for what, forms := range n {
			for _, form := range forms {
				if found := n.in(slices.Concat([]byte("xx"), form, []byte("yy"))); !slices.Contains(found, what) {
					t.Errorf("%s is not found as %q", what, form)
				}
			}
		}
	})
	t.Run("docker inspect", func(t *testing.T) {
		for _, name := range []string{b.container(), b.echoContainer()} {
			result, err := b.engine.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n.absent(t, name, result.Raw, b.plan.Identity)
		}
	})
	t.Run("docker logs", func(t *testing.T) { n.absent(t, "the log", b.engineLog(t), `"event":"allow"`) })
	t.Run("what the host writes down", func(t *testing.T) {
		n.absent(t, "the daemons' lines", []byte(b.log.String()), "init| ready")
		n.absent(t, "the echo's lines", []byte(b.echoLog.String()), "the real one")
		n.absent(t, "the events", []byte(b.events.String()), "no credential")
	})
	t.Run("docker export", func(t *testing.T) { testExport(t, b, n) })
	t.Run("proc", func(t *testing.T) { testProc(t, b, n) })
}

// absent expects no needle in data, and control to be there.
func (n needles) absent(t *testing.T, where string, data []byte, control string) {
	t.Helper()
	if !bytes.Contains(data, []byte(control)) {
		t.Errorf("the control: %s lacks %q, of %d bytes", where, control, len(data))
	}
	if found := n.in(data); len(found) > 0 {
		t.Errorf("%s has %q", where, found)
	}
}

func (b *bottle) engineLog(t *testing.T) []byte {
	t.Helper()
	logs, err := b.engine.ContainerLogs(t.Context(), b.container(), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, &text, logs); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// testExport looks into every file of the container's file system.
func testExport(t *testing.T, b *bottle, n needles) {
	archive, err := b.engine.ContainerExport(t.Context(), b.container(), client.ContainerExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	files, control := 0, false
	for reader := tar.NewReader(archive); ; files++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found := n.in(data)
		if "/"+header.Name == plantedPath && slices.Equal(found, []string{"planted"}) {
			control = true
			continue
		}
		if len(found) > 0 {
			t.Errorf("%s has %q", header.Name, found)
		}
	}
	if !control {
		t.Error("the control: what was planted was not found")
	}
	t.Logf("%d entries", files)
}

// testProc looks from the host, as root, at all that the processes show and at the files
// that live in memory or in the volume, which an export leaves out.
func testProc(t *testing.T, b *bottle, n needles) {
	pid := b.inspect(t).Container.State.Pid
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err != nil {
		need.Need(t, "root", fmt.Errorf("the engine's processes are not on this host, or not ours: %w", err))
	}
	processes := b.processes(t)
	if len(processes) != len(daemons.All())+1 {
		t.Errorf("the processes: %v", processes)
	}
	for name, pid := range processes {
		for file, control := range map[string]string{"cmdline": "bundle\x00", "environ": "BOTTLE_CONTROL_FD=3", "status": "Uid:"} {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				t.Fatal(err)
			}
			if name == "init" && file == "environ" {
				control = "PATH="
			}
			n.absent(t, name+"'s "+file, data, control)
		}
	}
	root, files := fmt.Sprintf("/proc/%d/root", pid), 0
	for _, place := range []string{"/run", "/tmp", "/dev/shm", "/var/lib/git-gate"} {
		err := filepath.WalkDir(root+place, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			files++
			if found := n.in(data); len(found) > 0 {
				t.Errorf("%s has %q", strings.TrimPrefix(path, root), found)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if files == 0 {
		t.Error("the control: git-gate's mirror has no file")
	}
	t.Logf("%d processes, %d files in memory and in the volume", len(processes), files)
}
