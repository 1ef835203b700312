package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A small module stands for ours: what becomes of a clause, and that the files stay as they
// are.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const source = "package p\n\nfunc limit(n int) int {\n\tif n > 9 {\n\t\treturn 9\n\t}\n\treturn n\n}\n"
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.test\n\ngo 1.26\n",
		"p/p.go": source,
		"p/p_test.go": `package p

import "testing"

func TestLimit(t *testing.T) {
	t.Run("big one", func(t *testing.T) {
		if n := limit(10); n != 9 {
			t.Errorf("limit(10) = %d", n)
		}
	})
}

func TestSmall(t *testing.T) {
	if limit(1) != 1 {
		t.Error("1 is too much")
	}
}

func TestWrong(t *testing.T) { t.Error("always") }

func TestNotHere(t *testing.T) { t.Skip() }
`,
	} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &runner{root: root, work: t.TempDir(), environ: append(os.Environ(), "GOFLAGS=", "GOWORK=off")}
	for _, test := range []struct {
		test, find, replace, needs string
		want                       verdict
		detail                     string
	}{
		{"TestLimit/big one", "n > 9", "n > 99", "", caught, "p TestLimit"},
		{"TestLimit", "return 9", "panic(n)", "", caught, "p TestLimit"},
		{"TestLimit", "return 9", "go func() { panic(n) }()\n\t\tselect {}", "", caught, "p TestLimit (the program ends)"},
		{"TestSmall", "n > 9", "n > 99", "", survived, "p TestSmall passes without it"},
		{"TestSmall", "n > 9", "more", "", broken, "without the rule it does not build: "},
		{"TestSmall", "n > 8", "n > 9", "", broken, `its text occurs 0 times in p/p.go, not once: "n > 8"`},
		{"TestSmall", "int", "uint", "", broken, `its text occurs 2 times in p/p.go, not once: "int"`},
		{"TestWrong", "n > 9", "n > 99", "", broken, "p TestWrong fails with the rule: "},
		{"TestNone", "n > 9", "n > 99", "", broken, "there is no test p TestNone"},
		{"TestNotHere", "n > 9", "n > 99", "", skipped, "p TestNotHere skips itself here"},
		{"TestLimit", "n > 9", "n > 99", "vm", skipped, "needs vm: TestLimit"},
	} {
		c := clause{Package: "p", Test: test.test, Needs: test.needs, edit: edit{File: "p/p.go", Find: test.find, Replace: test.replace}}
		if got := r.try(t.Context(), c); got.verdict != test.want || !strings.HasPrefix(got.detail, test.detail) {
			t.Errorf("%s without %q: %s %s, want %s %s", test.test, test.find, got.verdict, got.detail, test.want, test.detail)
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "p", "p.go")); err != nil || string(text) != source {
		t.Errorf("the source is %q, %v", text, err)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	rules := []rule{
		{Rule: 1, Clause: []clause{{id: "1.1"}, {id: "1.2"}}, Open: []open{{}}},
		{Rule: 2, Clause: []clause{{id: "2.1"}}},
	}
	for only, want := range map[string]string{"": "1.1 1.2 open 2.1", "1": "1.1 1.2 open", "1.2": "1.2", "2,1.1": "2.1 1.1", "3": "", "1.3": ""} {
		chosen, err := choose(rules, only)
		var got []string
		for _, one := range chosen {
			for _, c := range one.Clause {
				got = append(got, c.id)
			}
			for range one.Open {
				got = append(got, "open")
			}
		}
		if strings.Join(got, " ") != want || (err != nil) != (want == "") {
			t.Errorf("-only %q: %v, %v", only, got, err)
		}
	}
}
