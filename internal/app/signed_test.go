package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// signedWorld is a checkout whose images are made of nothing but a directory, and a person
// with a key.
type signedWorld struct {
	*App

	client *smolvm.Client
	key    string
}

func newSignedWorld(t *testing.T) signedWorld {
	t.Helper()
	source := t.TempDir()
	for _, image := range []string{agentRecipe, bundleRecipe} {
		writeFile(t, filepath.Join(source, "images", image, "image.toml"), "base = \"scratch\"\n[[directory]]\npath = \"/"+image+"\"\nmode = \"0755\"\n")
	}
	fake := smolvmtest.New(t, smolvmtest.Options{})
	a := newApp(t)
	a.source = source
	w := signedWorld{App: a, client: fake.Client(), key: filepath.Join(a.dirs.home, "image.key")}
	a.tool.value, a.tool.known = w.client, true
	if _, _, err := a.NewKey(t.Context(), w.key, true); err != nil {
		t.Fatal(err)
	}
	w.trust(t, w.key+".pub")
	return w
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// trust configures a public key as the only one.
func (w signedWorld) trust(t *testing.T, public string) {
	t.Helper()
	writeFile(t, w.keysPath(), readFile(t, public))
}

func (w signedWorld) sign(t *testing.T) []Signed {
	t.Helper()
	signed, err := w.Sign(t.Context(), w.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

const refusal = "so nothing is started from it: "

// refusedBoot wants an error with these words in it.
func refusedBoot(t *testing.T, err error, want string) {
	t.Helper()
	if problem := (*Problem)(nil); !errors.As(err, &problem) || !strings.Contains(err.Error(), want) {
		t.Errorf("err = %v, want one with %q", err, want)
	}
}

// Where keys are configured, a machine is made of a signed pack or not at all.
func TestOnlyASignedPackBoots(t *testing.T) {
	w := newSignedWorld(t)
	_, err := w.bootable(t.Context(), w.client, nil)
	refusedBoot(t, err, refusal+"there is no signature of it")

	signed := w.sign(t)
	artifact, err := w.bootable(t.Context(), w.client, nil)
	if err != nil || artifact.Path == "" || artifact.Image != signed[0].Digest {
		t.Fatalf("a signed pack does not boot: %+v, %v", artifact, err)
	}
	job, err := w.agentJob(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good := state.Status{Machine: "kept", Artifact: artifact.Path, ImageKey: job.Key(), ImageDigest: artifact.Image, PackSHA256: artifact.SHA256}
	if err := w.client.Create(t.Context(), smolvm.CreateOptions{Name: "kept", From: artifact.Path}); err != nil {
		t.Fatal(err)
	}
	if err := w.settleMachine(t.Context(), w.client, good); err != nil {
		t.Errorf("what was started cannot be resumed: %v", err)
	}
	for name, test := range map[string]struct {
		change func(*state.Status)
		want   string
	}{
		"another image":  {func(s *state.Status) { s.ImageDigest = "sha256:" + strings.Repeat("0", 64) }, "there is no signature of it"},
		"another recipe": {func(s *state.Status) { s.ImageKey = strings.Repeat("0", 64) }, "there is no signature of it"},
		"unknown":        {func(s *state.Status) { s.ImageDigest = "" }, "there is no signature of it"},
		"other bytes":    {func(s *state.Status) { s.PackSHA256 = strings.Repeat("0", 64) }, "its bytes have the sha256 " + artifact.SHA256},
		"no file":        {func(s *state.Status) { s.Artifact = "" }, "no such file"},
	} {
		status := good
		test.change(&status)
		err := w.settleMachine(t.Context(), w.client, status)
		if refusedBoot(t, err, refusal); err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}

	signature := readFile(t, signed[0].Path)
	writeFile(t, signed[0].Path, strings.Replace(signature, "\n", "x\n", 3))
	_, err = w.bootable(t.Context(), w.client, nil)
	refusedBoot(t, err, refusal+"the signature is damaged")
	writeFile(t, signed[0].Path, readFile(t, signed[1].Path))
	_, err = w.bootable(t.Context(), w.client, nil)
	refusedBoot(t, err, refusal+"the signature by the key "+signed[0].Key+" is wrong")
	writeFile(t, signed[0].Path, signature)

	// The key of somebody else.
	public, _, err := w.NewKey(t.Context(), filepath.Join(w.dirs.home, "other.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	w.trust(t, public)
	_, err = w.bootable(t.Context(), w.client, nil)
	refusedBoot(t, err, refusal+"the signature is by the key "+signed[0].Key+", which is not trusted")
}

// Whoever writes the cache writes the record beside a pack too, with the stamp of another
// file and the sha256 of the signed one. What is compared is what was read.
func TestAForgedRecordBootsNothing(t *testing.T) {
	w := newSignedWorld(t)
	w.sign(t)
	artifact, err := w.bootable(t.Context(), w.client, nil)
	if err != nil {
		t.Fatal(err)
	}
	evil := strings.Replace(readFile(t, artifact.Path), "machine", "MACHINE", 1)
	if evil == readFile(t, artifact.Path) {
		evil = "x" + evil[1:]
	}
	writeFile(t, artifact.Path, evil)
	forgeStamp(t, artifact.Path)
	if again, err := w.artifact(t.Context(), w.client, nil); err != nil || again.SHA256 != artifact.SHA256 {
		t.Fatalf("the forgery is no good: %+v, %v", again, err)
	}
	_, err = w.bootable(t.Context(), w.client, nil)
	refusedBoot(t, err, refusal+"its bytes have the sha256 ")
}

// forgeStamp writes what the record of a pack says of its file as it is now.
func forgeStamp(t *testing.T, path string) {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	file := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	record := map[string]any{}
	if err := json.Unmarshal([]byte(readFile(t, file)), &record); err != nil {
		t.Fatal(err)
	}
	record["stamp"] = map[string]any{
		"size": stat.Size, "dev": stat.Dev, "inode": stat.Ino, "mtime_ns": stat.Mtim.Nano(), "ctime_ns": stat.Ctim.Nano(),
	}
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(text))
}

// Keys that are configured and cannot be used must not mean that none are.
func TestUnusableKeysBootNothing(t *testing.T) {
	w := newSignedWorld(t)
	w.sign(t)
	public := readFile(t, w.key+".pub")
	if err := os.Remove(w.keysPath()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func()
		want   string
	}{
		"empty":       {func() { writeFile(t, w.keysPath(), "") }, "there is no key in it"},
		"rubbish":     {func() { writeFile(t, w.keysPath(), public+"?") }, "line 3 is no public key of minisign"},
		"writable":    {func() { writeFile(t, w.keysPath(), public); _ = os.Chmod(w.keysPath(), 0o666) }, "others have rights to it"},
		"a directory": {func() { _ = os.Mkdir(w.keysPath(), 0o700) }, "is no regular file"},
	} {
		test.change()
		_, err := w.bootable(t.Context(), w.client, nil)
		if refusedBoot(t, err, "reading the keys that images are signed by"); err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err := os.RemoveAll(w.keysPath()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.bootable(t.Context(), w.client, nil); err != nil {
		t.Errorf("without keys: %v", err)
	}
}

// A key to sign with that others can read is used for nothing, and no key is replaced.
func TestTheSecretKeyIsSecret(t *testing.T) {
	w := newSignedWorld(t)
	if info, err := os.Stat(w.key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new key has the mode %v, %v", info.Mode(), err)
	}
	if _, _, err := w.NewKey(t.Context(), w.key, true); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key is replaced: %v", err)
	}
	if err := os.Chmod(w.key, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := w.Sign(t.Context(), w.key, nil)
	refusedBoot(t, err, "has the mode 0640: others have rights to it")
}

// bundleID is what an engine calls the bundle's image.
func (w *signedWorld) bundleID(t *testing.T) string {
	t.Helper()
	job, err := w.job(t.Context(), bundleRecipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := w.store(nil).Identify(t.Context(), w.image(bundleRecipe, job))
	if err != nil {
		t.Fatal(err)
	}
	return identity.Config
}

// fakeImages is an engine that loads everything under the id that the test names.
type fakeImages struct {
	id     string
	loaded bool
}

func (f *fakeImages) ImageInspect(context.Context, string, ...client.ImageInspectOption) (result client.ImageInspectResult, err error) {
	if !f.loaded {
		return result, errdefs.ErrNotFound
	}
	result.ID = f.id
	return result, nil
}

func (f *fakeImages) ImageLoad(_ context.Context, archive io.Reader, _ ...client.ImageLoadOption) (client.ImageLoadResult, error) {
	f.loaded = true
	_, err := io.Copy(io.Discard, archive)
	return io.NopCloser(strings.NewReader("")), err
}

func (*fakeImages) ImageTag(context.Context, client.ImageTagOptions) (result client.ImageTagResult, err error) {
	return result, nil
}

// The sidecars hold every credential: their image is held to the same.
func TestOnlyASignedBundleStarts(t *testing.T) {
	w := newSignedWorld(t)
	engine := &fakeImages{id: w.bundleID(t)}
	_, err := w.bundleRef(t.Context(), engine)
	refusedBoot(t, err, "the bundle's image is not signed by a key of "+w.keysPath()+", "+refusal+"there is no signature of it")
	signed := w.sign(t)
	if ref, err := w.bundleRef(t.Context(), engine); err != nil || !strings.HasPrefix(ref, "bottle-bundle:") {
		t.Errorf("a signed bundle does not start: %q, %v", ref, err)
	}
	writeFile(t, signed[1].Path, readFile(t, signed[0].Path))
	_, err = w.bundleRef(t.Context(), engine)
	refusedBoot(t, err, "is wrong")
}
