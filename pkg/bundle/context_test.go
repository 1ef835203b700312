package bundle

import (
	"fmt"
	"testing"
	"testing/fstest"
)

func TestContextHost(t *testing.T) {
	t.Parallel()
	// sha256("colima"), as the docker command names the directory.
	const colima = "contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16/meta.json"
	config := func(current, meta string) fstest.MapFS {
		files := fstest.MapFS{colima: {Data: []byte(meta)}}
		if current != "" {
			files["config.json"] = &fstest.MapFile{Data: []byte(current)}
		}
		return files
	}
	const good = `{"Name":"colima","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///home/me/.colima/docker.sock","SkipTLSVerify":false}}}`
	for _, test := range []struct{ name, current, meta, want string }{
		{"", "", good, ""},
		{"", `{"currentContext":"default"}`, good, ""},
		{"", `{"auths":{}}`, good, ""},
		{"", "nonsense", good, ""},
		{"", `{"currentContext":"colima"}`, good, "unix:///home/me/.colima/docker.sock"},
		{"colima", "", good, "unix:///home/me/.colima/docker.sock"},
		{"default", `{"currentContext":"colima"}`, good, ""},
		{"other", "", good, `error: there is no Docker context "other"`},
		{"colima", "", "{", `error: reading the Docker context "colima": unexpected end of JSON input`},
		{"colima", "", "{}", `error: the Docker context "colima" names no engine`},
	} {
		got, err := ContextHost(config(test.current, test.meta), test.name)
		if err != nil {
			got = fmt.Sprintf("error: %v", err)
		}
		if got != test.want {
			t.Errorf("%q with %q: %q, want %q", test.name, test.current, got, test.want)
		}
	}
}
