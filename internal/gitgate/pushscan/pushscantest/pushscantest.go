// Package pushscantest makes what must not leave with a push, and hides it.
package pushscantest

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"testing"
)

// Token is a GitHub token as gitleaks knows it, made now: this repository holds none.
func Token() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	raw := make([]byte, 36)
	_, _ = rand.Read(raw)
	for i, b := range raw {
		raw[i] = letters[int(b)%len(letters)]
	}
	return "ghp_" + string(raw)
}

// Zip is an archive of one file.
func Zip(t testing.TB, name, text string) string {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	file, err := archive.Create(name)
	if err == nil {
		_, err = file.Write([]byte(text))
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
