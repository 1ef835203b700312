package sbom

import (
	"runtime/debug"
	"slices"
	"testing"
)

func TestModules(t *testing.T) {
	t.Parallel()
	info, err := debug.ParseBuildInfo("path\tbottle.internal/images/bundle\nmod\tbottle.internal\t(devel)\t\n" +
		"dep\tgithub.com/a/b/v2\tv2.0.1\th1:abc=\ndep\tgithub.com/c/d\tv1.0.0\n=>\texample.test/fork\tv1.0.1\th1:def=\n" +
		"build\tGOOS=linux\nbuild\tGOARCH=arm64\n")
	if err != nil {
		t.Fatal(err)
	}
	info.GoVersion = "go1.26.8" // the parser has no line for it
	program := programOf("/usr/local/bin/bundle", info)
	if want := "Go program of the package bottle.internal/images/bundle, built by go1.26.8 for linux/arm64"; program.Source != want {
		t.Errorf("source %q, want %q", program.Source, want)
	}
	got := []string{program.PURL + " " + program.License}
	for _, part := range program.Parts {
		got = append(got, part.PURL+" "+part.Source)
	}
	want := []string{
		"pkg:golang/bottle.internal@devel#images/bundle Apache-2.0",
		"pkg:golang/stdlib@1.26.8 the standard library of Go",
		"pkg:golang/github.com/a/b/v2@v2.0.1 Go module, h1:abc=",
		"pkg:golang/example.test/fork@v1.0.1 Go module in place of github.com/c/d v1.0.0, h1:def=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if _, ok := Program("x", []byte("\x7fELF of another kind")); ok {
		t.Error("bytes that are no Go program were taken for one")
	}
}
