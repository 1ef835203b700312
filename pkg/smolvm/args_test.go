package smolvm_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/smolvmtest"
	"bottle.internal/pkg/smolvm"
)

func tool(tb testing.TB, version string) smolvm.Tool {
	tb.Helper()
	v, err := smolvm.ParseVersion(version)
	if err != nil {
		tb.Fatal(err)
	}
	return smolvm.Tool{Path: "/opt/smolvm", Name: "smolvm", Version: v}
}

// argvCase is one command line. want has it per release, or under "" for all; a word
// that begins with a brace is the start of an error.
type argvCase struct {
	name  string
	build func(smolvm.Tool) (smolvm.Built, error)
	want  map[string]string
	env   map[string]string
}

func packed(o smolvm.PackOptions) func(smolvm.Tool) (smolvm.Built, error) {
	return func(t smolvm.Tool) (smolvm.Built, error) { return smolvm.PackArgs(t, o) }
}

func created(o smolvm.CreateOptions) func(smolvm.Tool) (smolvm.Built, error) {
	return func(t smolvm.Tool) (smolvm.Built, error) { return smolvm.CreateArgs(t, o) }
}

func argvCases() []argvCase {
	exec := func(o smolvm.ExecOptions) func(smolvm.Tool) (smolvm.Built, error) {
		return func(smolvm.Tool) (smolvm.Built, error) { return smolvm.ExecArgs(o) }
	}
	named := func(build func(string) (smolvm.Built, error)) func(smolvm.Tool) (smolvm.Built, error) {
		return func(smolvm.Tool) (smolvm.Built, error) { return build("demo") }
	}
	everything := smolvm.CreateOptions{
		Name: "demo", From: "/c/a.smolmachine", CPUs: 2, MemMiB: 2048, StorageGiB: 10, OverlayGiB: 5,
		Sockets: []smolvm.Socket{{Host: "/s/8888.sock", Guest: "/run/bottle/8888.sock"}, {Host: "/s/9100.sock", Guest: "/run/bottle/9100.sock"}},
		Labels:  map[string]string{"bottle.owner": "0a1b", "bottle.identity": "demo-x7k2p"},
		Env:     map[string]string{"TZ": "UTC", "EMPTY": ""},
	}
	sized := everything
	sized.Sockets, sized.Labels = nil, nil
	return []argvCase{
		{"version", func(smolvm.Tool) (smolvm.Built, error) { return smolvm.VersionArgs(), nil }, map[string]string{"": "--version"}, nil},
		{"list", func(smolvm.Tool) (smolvm.Built, error) { return smolvm.ListArgs(), nil }, map[string]string{"": "machine ls --json"}, nil},
		{"data-dir", func(t smolvm.Tool) (smolvm.Built, error) { return smolvm.DataDirArgs(t, "demo") }, map[string]string{
			"": "machine data-dir --name demo", "0.8.0": "machine data-dir demo",
		}, nil},
		{"status", named(smolvm.StatusArgs), map[string]string{"": "machine status --name demo --json"}, nil},
		{"start", named(smolvm.StartArgs), map[string]string{"": "machine start --name demo"}, nil},
		{"stop", named(smolvm.StopArgs), map[string]string{"": "machine stop --name demo"}, nil},
		{"delete", func(t smolvm.Tool) (smolvm.Built, error) { return smolvm.DeleteArgs(t, "demo") }, map[string]string{
			"": "machine delete --name demo --force", "0.8.0": "machine delete demo --force",
		}, nil},
		{"pack, defaults", packed(smolvm.PackOptions{Image: "127.0.0.1:5000/agent@sha256:00", Output: "/c/x"}), map[string]string{
			"": "pack create --image 127.0.0.1:5000/agent@sha256:00 --output /c/x",
		}, nil},
		{
			"pack, everything",
			packed(smolvm.PackOptions{Image: "r.test/a:1", Output: "/c/x", Platform: "linux/arm64", CPUs: 4, MemMiB: 8192, StagingDir: "/big"}),
			map[string]string{
				"":      "pack create --image r.test/a:1 --output /c/x --oci-platform linux/arm64 --cpus 4 --mem 8192 --staging-dir /big",
				"0.8.0": "pack create --image r.test/a:1 --output /c/x --oci-platform linux/arm64 --cpus 4 --mem 8192",
				"1.0.2": "pack create --image r.test/a:1 --output /c/x --oci-platform linux/arm64 --cpus 4 --mem 8192",
			},
			map[string]string{"0.8.0": "TMPDIR=/big", "1.0.2": "TMPDIR=/big"},
		},
		{"create, defaults", created(smolvm.CreateOptions{Name: "demo", From: "/c/a.smolmachine"}), map[string]string{
			"": "machine create --name demo --from /c/a.smolmachine", "0.8.0": "machine create demo --from /c/a.smolmachine",
		}, nil},
		{"create, sizes and env", created(sized), map[string]string{
			"":      "machine create --name demo --from /c/a.smolmachine --cpus 2 --mem 2048 --storage 10 --overlay 5 --env EMPTY= --env TZ=UTC",
			"0.8.0": "machine create demo --from /c/a.smolmachine --cpus 2 --mem 2048 --storage 10 --overlay 5 --env EMPTY= --env TZ=UTC",
		}, nil},
		{"create, everything", created(everything), map[string]string{
			"": "machine create --name demo --from /c/a.smolmachine --cpus 2 --mem 2048 --storage 10 --overlay 5" +
				" --mount-socket /s/8888.sock:/run/bottle/8888.sock --mount-socket /s/9100.sock:/run/bottle/9100.sock" +
				" --label bottle.identity=demo-x7k2p --label bottle.owner=0a1b --env EMPTY= --env TZ=UTC",
			"0.8.0": `{smolvm 0.8.0 has no working "machine create --mount-socket": version 1.7.0 or later is needed`,
			"1.0.2": `{smolvm 1.0.2 has no working "machine create --mount-socket": version 1.7.0 or later is needed`,
		}, nil},
		{"create, labels", created(smolvm.CreateOptions{Name: "demo", From: "a", Labels: map[string]string{"k": "v"}}), map[string]string{
			"":      "machine create --name demo --from a --label k=v",
			"0.8.0": `{smolvm 0.8.0 has no working "machine create --label": version 1.8.0 or later is needed`,
			"1.0.2": `{smolvm 1.0.2 has no working "machine create --label": version 1.8.0 or later is needed`,
		}, nil},
		{"create, archive", created(smolvm.CreateOptions{Name: "demo", Image: "/c/a.tar"}), map[string]string{
			"":      "machine create --name demo --image /c/a.tar",
			"0.8.0": `{smolvm 0.8.0 has no working "machine create --image ARCHIVE": version 1.1.0 or later is needed`,
			"1.0.2": `{smolvm 1.0.2 has no working "machine create --image ARCHIVE": version 1.1.0 or later is needed`,
		}, nil},
		{"exec, defaults", exec(smolvm.ExecOptions{Name: "demo", Command: []string{"true"}}), map[string]string{
			"": "machine exec --name demo -i -- true",
		}, nil},
		{"exec, everything", exec(smolvm.ExecOptions{Name: "demo", Workdir: "/home/agent", TTY: true, Command: []string{"sh", "-c", "--help"}}), map[string]string{
			"": "machine exec --name demo --workdir /home/agent -i -t -- sh -c --help",
		}, nil},
		{"copy in", func(smolvm.Tool) (smolvm.Built, error) { return smolvm.CopyInArgs("demo", "-x", "/w/y") }, map[string]string{
			"": "machine cp ./-x demo:/w/y",
		}, nil},
		{"copy out", func(smolvm.Tool) (smolvm.Built, error) { return smolvm.CopyOutArgs("demo", "/w/y", "x") }, map[string]string{
			"": "machine cp demo:/w/y x",
		}, nil},
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	for _, test := range argvCases() {
		for _, version := range smolvmtest.Versions() {
			want, ok := test.want[version]
			if !ok {
				want = test.want[""]
			}
			built, err := test.build(tool(t, version))
			if failure, ok := strings.CutPrefix(want, "{"); ok {
				versionError := (*smolvm.VersionError)(nil)
				if !errors.As(err, &versionError) || !strings.HasPrefix(err.Error(), failure) {
					t.Errorf("%s, %s: error %v, want %s", test.name, version, err, failure)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", test.name, version, err)
			}
			if diff := cmp.Diff(strings.Split(want, " "), built.Args); diff != "" {
				t.Errorf("%s, %s: argv (-want +got)\n%s", test.name, version, diff)
			}
			if got := strings.Join(built.Env, " "); got != test.env[version] {
				t.Errorf("%s, %s: env %q, want %q", test.name, version, got, test.env[version])
			}
			if _, _, _, err := smolvmtest.Parse(version, built.Args); err != nil && test.name != "version" {
				t.Errorf("%s: smolvm %s refuses %q: %v", test.name, version, built.Args, err)
			}
		}
	}
}

func TestNoNetworkFrom(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"1.7.2": "",
		"1.7.3": reasonNeedsNetwork("1.7.3"),
		"1.7.4": reasonNeedsNetwork("1.7.4"),
		"1.7.5": "",
	} {
		_, err := smolvm.CreateArgs(tool(t, version), smolvm.CreateOptions{Name: "demo", From: "a"})
		if text(err) != want {
			t.Errorf("%s: %v, want %q", version, err, want)
		}
	}
}

func reasonNeedsNetwork(version string) string {
	return "smolvm " + version + ` has no working "machine create --from": version 1.7.5 or later is needed` +
		" (1.7.3 and 1.7.4 refuse a packed machine without a network, and ours have none)"
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	const badName = `invalid option: machine name "%s": 1 to 128 of A-Z, a-z, 0-9, _ and single dashes, a letter or digit first`
	name := func(bad string) string { return strings.Replace(badName, "%s", bad, 1) }
	create := func(o smolvm.CreateOptions) error {
		if o.Name == "" {
			o.Name = "demo"
		}
		if o.From == "" && o.Image == "" {
			o.From = "a"
		}
		_, err := smolvm.CreateArgs(tool(t, "1.9.3"), o)
		return err
	}
	pack := func(o smolvm.PackOptions) error { _, err := smolvm.PackArgs(tool(t, "1.9.3"), o); return err }
	exec := func(o smolvm.ExecOptions) error { _, err := smolvm.ExecArgs(o); return err }
	start := func(name string) error { _, err := smolvm.StartArgs(name); return err }
	in := func(local, guest string) error { _, err := smolvm.CopyInArgs("demo", local, guest); return err }
	command := []string{"true"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{start(""), name("")},
		{start("-demo"), name("-demo")},
		{start("--help"), name("--help")},
		{start("demo-"), name("demo-")},
		{start("a--b"), name("a--b")},
		{start("../x"), name("../x")},
		{start("a\nb"), name(`a\nb`)},
		{start(strings.Repeat("a", 129)), name(strings.Repeat("a", 80))},
		{start(strings.Repeat("a", 128)), ""},
		{create(smolvm.CreateOptions{From: "a", Image: "b"}), "invalid option: exactly one of an artifact and an image is needed"},
		{create(smolvm.CreateOptions{From: "--net"}), `invalid option: artifact "--net": it begins with a dash`},
		{create(smolvm.CreateOptions{Image: "-"}), `invalid option: image "-": it begins with a dash`},
		{create(smolvm.CreateOptions{CPUs: 256}), "invalid option: cpus 256: between 1 and 255 are allowed"},
		{create(smolvm.CreateOptions{CPUs: -1, MemMiB: 63}), "invalid option: cpus -1: between 1 and 255 are allowed\ninvalid option: memory 63: between 64 and 4194304 are allowed"},
		{create(smolvm.CreateOptions{StorageGiB: -1}), "invalid option: storage -1: between 1 and 16384 are allowed"},
		{create(smolvm.CreateOptions{OverlayGiB: 16385}), "invalid option: overlay 16385: between 1 and 16384 are allowed"},
		{create(smolvm.CreateOptions{Env: map[string]string{"A=B": "c"}}), `invalid option: variable "A=B": only A-Z, a-z, 0-9 and _ are allowed`},
		{create(smolvm.CreateOptions{Env: map[string]string{"A": "b\x00"}}), `invalid option: variable "b\x00": it has a zero byte`},
		{create(smolvm.CreateOptions{Labels: map[string]string{"--net": "x"}}), `invalid option: label "--net": only A-Z, a-z, 0-9, . _ / and - are allowed`},
		{create(smolvm.CreateOptions{Sockets: []smolvm.Socket{{Host: "s", Guest: "/g"}}}), `invalid option: socket "s": it must be an absolute path`},
		{create(smolvm.CreateOptions{Sockets: []smolvm.Socket{{Host: "/s", Guest: "/g;/h"}}}), `invalid option: socket "/g;/h": it must not contain : ; or |`},
		{create(smolvm.CreateOptions{Sockets: []smolvm.Socket{{Host: "/s:/t", Guest: "/g"}}}), `invalid option: socket "/s:/t": it must not contain : ; or |`},
		{create(smolvm.CreateOptions{Sockets: []smolvm.Socket{{Host: "/s", Guest: "/g/../h"}}}), `invalid option: guest socket "/g/../h": it must be a clean absolute path`},
		{create(smolvm.CreateOptions{Sockets: slices.Repeat([]smolvm.Socket{{Host: "/s", Guest: "/g"}}, 65)}), "invalid option: 65 sockets, at most 64 are allowed"},
		{pack(smolvm.PackOptions{Output: "x"}), `invalid option: image "": it is empty`},
		{pack(smolvm.PackOptions{Image: "a", Output: "x.smolmachine"}), `invalid option: output "x.smolmachine": without .smolmachine, which is added`},
		{pack(smolvm.PackOptions{Image: "a", Output: "x", Platform: "--single-file"}), `invalid option: platform "--single-file": it begins with a dash`},
		{pack(smolvm.PackOptions{Image: "a", Output: "x", StagingDir: "-x"}), `invalid option: staging directory "-x": it begins with a dash`},
		{exec(smolvm.ExecOptions{Name: "demo"}), "invalid option: no command"},
		{exec(smolvm.ExecOptions{Name: "demo", Command: []string{""}}), "invalid option: no command"},
		{exec(smolvm.ExecOptions{Name: "demo", Command: []string{"a\x00"}}), `invalid option: command "a\x00": it has a zero byte`},
		{exec(smolvm.ExecOptions{Name: "demo", Command: command, Workdir: "-i"}), `invalid option: working directory "-i": it must be a clean absolute path`},
		{in("/a:b", "/c"), `invalid option: local path "/a:b": it must not contain a colon`},
		{in("", "/c"), `invalid option: local path "": it is empty`},
		{in("/a", "c"), `invalid option: guest path "c": it must be a clean absolute path`},
		{in("/a", "/c/../../etc"), `invalid option: guest path "/c/../../etc": it must be a clean absolute path`},
	} {
		if text(test.err) != test.want {
			t.Errorf("error %q, want %q", text(test.err), test.want)
		}
		if test.err != nil && !errors.Is(test.err, smolvm.ErrInvalid) {
			t.Errorf("%q is not ErrInvalid", test.err)
		}
	}
}

// FuzzCreateArgs: whatever is accepted, the tool reads back as it was meant, and no
// value becomes an option.
func FuzzCreateArgs(f *testing.F) {
	f.Add("demo", "/c/a.smolmachine", "/s/1.sock", "/run/1.sock", "k", "v", 2)
	f.Add("--net", "--net", "--net", "--net", "--net", "--net", 0)
	f.Add("demo", "a", "/a", "/b", "A=", "--allow-cidr", 4)
	f.Fuzz(func(t *testing.T, name, from, host, guest, key, value string, cpus int) {
		built, err := smolvm.CreateArgs(tool(t, "1.9.3"), smolvm.CreateOptions{
			Name: name, From: from, CPUs: cpus, Sockets: []smolvm.Socket{{Host: host, Guest: guest}},
			Labels: map[string]string{key: value}, Env: map[string]string{key: value},
		})
		if err != nil {
			return
		}
		options, bare, rest, err := smolvmtest.Parse("1.9.3", built.Args)
		if err != nil || len(bare)+len(rest) != 0 {
			t.Fatalf("%q: bare %q, rest %q, error %v", built.Args, bare, rest, err)
		}
		want := map[string][]string{
			"--name": {name}, "--from": {from}, "--mount-socket": {host + ":" + guest},
			"--label": {key + "=" + value}, "--env": {key + "=" + value},
		}
		delete(options, "--cpus")
		if diff := cmp.Diff(want, options); diff != "" {
			t.Errorf("%q is read as (-want +got)\n%s", built.Args, diff)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
