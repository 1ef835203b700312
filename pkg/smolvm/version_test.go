package smolvm_test

import (
	"errors"
	"testing"

	"bottle.internal/pkg/smolvm"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"1.9.3", ""},
		{"0.8.0", ""},
		{"10.20.30", ""},
		{"", `version "": it should look like 1.9.3`},
		{"1.9", `version "1.9": it should look like 1.9.3`},
		{"1.9.3.4", `version "1.9.3.4": it should look like 1.9.3`},
		{"v1.9.3", `version "v1.9.3": it should look like 1.9.3`},
		{"1.9.-3", `version "1.9.-3": it should look like 1.9.3`},
		{"1.9.99999999999999999999", `version "1.9.99999999999999999999": it should look like 1.9.3`},
	} {
		v, err := smolvm.ParseVersion(test.text)
		if text(err) != test.want {
			t.Errorf("ParseVersion(%q): %v, want %q", test.text, err, test.want)
		}
		if err == nil && v.String() != test.text {
			t.Errorf("ParseVersion(%q) = %s", test.text, v)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	ordered := []string{"0.8.0", "0.8.1", "0.10.0", "1.0.0", "1.0.2", "1.0.10", "1.9.3", "1.22.0", "2.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := tool(t, a).Version.Compare(tool(t, b).Version); got != want {
				t.Errorf("%s compared with %s: %d", a, b, got)
			}
		}
	}
}

func TestUsableVersions(t *testing.T) {
	t.Parallel()
	const upgrade = "curl -sSL https://smolmachines.com/install.sh | bash"
	for _, test := range []struct{ name, version, want, hint string }{
		{"smolvm", "1.8.1", "", ""},
		{"smolvm", "1.9.3", "", ""},
		{"smolvm", "7.0.0", "", ""},
		{"smolvm-lite", "1.9.3", "", ""},
		{"smolvm", "1.8.0", "smolvm 1.8.0 cannot be used: version 1.8.1 or later is needed" +
			" (older releases drop or do not enforce what keeps a machine inside its boundary)", upgrade},
		{"smolvm", "1.7.3", "smolvm 1.7.3 cannot be used: version 1.8.1 or later is needed" +
			" (1.7.3 and 1.7.4 refuse a packed machine without a network, and ours have none)", upgrade},
		{"smolvm", "1.7.4", "smolvm 1.7.4 cannot be used: version 1.8.1 or later is needed" +
			" (1.7.3 and 1.7.4 refuse a packed machine without a network, and ours have none)", upgrade},
		{"smolvm-lite", "1.0.0", "smolvm-lite 1.0.0 cannot be used: version 1.8.1 or later is needed" +
			" (older releases drop or do not enforce what keeps a machine inside its boundary)", "go tool mage setup"},
	} {
		err := smolvm.CheckUsable(test.name, tool(t, test.version).Version)
		if text(err) != test.want {
			t.Errorf("%s %s: %q, want %q", test.name, test.version, text(err), test.want)
		}
		versionError := (*smolvm.VersionError)(nil)
		if errors.As(err, &versionError) && versionError.HintLines()[0] != test.hint {
			t.Errorf("%s %s: hint %q, want %q", test.name, test.version, versionError.HintLines(), test.hint)
		}
	}
}

func TestVersionErrorWithMax(t *testing.T) {
	t.Parallel()
	err := &smolvm.VersionError{
		Name: "smolvm", Feature: "x", Min: smolvm.Version{Major: 1}, Max: smolvm.Version{Major: 1, Minor: 2}, Actual: smolvm.Version{Major: 2},
	}
	if want := `smolvm 2.0.0 has no working "x": version 1.0.0 to 1.2.0 is needed`; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestParseBanner(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ out, name, version, err string }{
		{"smolvm 1.9.3\n", "smolvm", "1.9.3", ""},
		{"smolvm 1.9.3\r\n", "smolvm", "1.9.3", ""},
		{"smolvm 1.10.0-rc.1+abc\n", "smolvm", "1.10.0", ""},
		{"smolvm-lite 1.9.3\nqemu stand-in, accelerator tcg: ...\n", "smolvm-lite", "1.9.3", ""},
		{"", "", "0.0.0", `"" is no version of smolvm`},
		{"smolvm\n", "", "0.0.0", `"smolvm" is no version of smolvm`},
		{"smolvm 1.9\n", "", "0.0.0", `"smolvm 1.9" is no version of smolvm`},
		{"smolvm 1.9.3 and more\n", "", "0.0.0", `"smolvm 1.9.3 and more" is no version of smolvm`},
		{"smolvmm 1.9.3\n", "", "0.0.0", `"smolvmm 1.9.3" is no version of smolvm`},
		{"note: x\nsmolvm 1.9.3\n", "", "0.0.0", `"note: x" is no version of smolvm`},
	} {
		got, err := smolvm.ParseBanner(test.out)
		if got.Name != test.name || got.Version.String() != test.version || text(err) != test.err {
			t.Errorf("%q: %s %s, %v", test.out, got.Name, got.Version, err)
		}
	}
}

func FuzzParseBanner(f *testing.F) {
	f.Add("smolvm 1.9.3\n")
	f.Add("smolvm-lite 1.9.3\nx")
	f.Add("smolvm 999999999999999999999.0.0")
	f.Fuzz(func(t *testing.T, out string) {
		got, err := smolvm.ParseBanner(out)
		if err == nil && got.Name != smolvm.NameSmolvm && got.Name != smolvm.NameLite {
			t.Errorf("%q is %q", out, got.Name)
		}
	})
}
