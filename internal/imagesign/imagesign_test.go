package imagesign_test

import (
	"os"
	"strings"
	"testing"

	"bottle.internal/internal/imagesign"
	"bottle.internal/internal/secret"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func machine() imagesign.Statement {
	return imagesign.Statement{Role: imagesign.Machine, Recipe: strings.Repeat("a", 64), Image: digest("b"), Pack: strings.Repeat("c", 64)}
}

// newKey is a signer and the file of its public key.
func newKey(t *testing.T) (*imagesign.Signer, string) {
	t.Helper()
	key, public, err := imagesign.NewKey(secret.Value{})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := imagesign.Open(key, secret.Value{})
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(public)
}

func sign(t *testing.T, signer *imagesign.Signer, s imagesign.Statement) string {
	t.Helper()
	signature, _, err := signer.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(signature)
}

func keys(t *testing.T, text string) imagesign.Keys {
	t.Helper()
	parsed, err := imagesign.ParseKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// A signature holds for one statement, whole, by a trusted key; for nothing else.
func TestCheck(t *testing.T) {
	t.Parallel()
	signer, public := newKey(t)
	stranger, other := newKey(t)
	good := sign(t, signer, machine())
	for name, test := range map[string]struct {
		keys      string
		signature string
		change    func(*imagesign.Statement)
		want      string // part of the error; "": it holds
	}{
		"as it was signed":    {public, good, func(*imagesign.Statement) {}, ""},
		"one of two keys":     {other + "# mine\n\n" + public, good, func(*imagesign.Statement) {}, ""},
		"another recipe":      {public, good, func(s *imagesign.Statement) { s.Recipe = strings.Repeat("d", 64) }, "is wrong"},
		"another image":       {public, good, func(s *imagesign.Statement) { s.Image = digest("d") }, "is wrong"},
		"another pack":        {public, good, func(s *imagesign.Statement) { s.Pack = strings.Repeat("d", 64) }, "is wrong"},
		"in the bundle":       {public, good, func(s *imagesign.Statement) { s.Role, s.Pack = imagesign.Bundle, "" }, "is wrong"},
		"no pack":             {public, good, func(s *imagesign.Statement) { s.Pack = "" }, "is nothing that can be signed"},
		"a line too many":     {public, good, func(s *imagesign.Statement) { s.Image += "\nrole x" }, "is nothing that can be signed"},
		"another key":         {public, sign(t, stranger, machine()), func(*imagesign.Statement) {}, "which is not trusted"},
		"by nobody":           {public, "", func(*imagesign.Statement) {}, "the signature is damaged"},
		"cut":                 {public, good[:len(good)/2], func(*imagesign.Statement) {}, "the signature is damaged"},
		"the comment altered": {public, strings.Replace(good, "bottle machine", "bottle Machine", 1), func(*imagesign.Statement) {}, "is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			statement := machine()
			test.change(&statement)
			id, err := keys(t, test.keys).Check(statement, []byte(test.signature))
			if test.want == "" && (err != nil || len(id) != 16) || test.want != "" && (err == nil || id != "" || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Check() = %q, %v; want %q", id, err, test.want)
			}
		})
	}
}

// Two keys may have one id, which is not protected: the right one is found all the same,
// and the wrong one is not taken for it.
func TestAnIDIsNoKey(t *testing.T) {
	t.Parallel()
	signer, public := newKey(t)
	_, other := newKey(t)
	forged := withID(t, sign(t, signer, machine()), other)
	if id, err := keys(t, other).Check(machine(), []byte(forged)); err == nil {
		t.Errorf("a signature of another key with the id of %s passes", id)
	}
	if _, err := keys(t, public).Check(machine(), []byte(forged)); err == nil {
		t.Error("the id says another key, and it passes")
	}
}

// The files of a pair and of a signature, as minisign itself would read them: these must hold
// for ever, or what people have signed is worth nothing after an update.
func TestOldSignaturesHold(t *testing.T) {
	t.Parallel()
	signer, err := imagesign.Open(secret.New(oldKey), secret.Value{})
	if err != nil {
		t.Fatal(err)
	}
	if got := sign(t, signer, machine()); got != oldSignature {
		t.Errorf("the signature of today:\n%s\nwant:\n%s", got, oldSignature)
	}
	if id, err := keys(t, oldPublic).Check(machine(), []byte(oldSignature)); err != nil || id != oldID {
		t.Errorf("Check() = %q, %v", id, err)
	}
	if _, err := imagesign.Open(secret.New("RWQ"+oldKey), secret.Value{}); err == nil || strings.Contains(err.Error(), "RWQ") {
		t.Errorf("Open() of something else = %v", err)
	}
}

// To open a key takes a gigabyte and seconds, by intent.
func TestPassphrase(t *testing.T) {
	if os.Getenv("BOTTLE_SLOW") == "" {
		t.Skip("BOTTLE_SLOW is not set")
	}
	key, public, err := imagesign.NewKey(secret.New("correct horse"))
	if err != nil || !imagesign.Encrypted(key) {
		t.Fatalf("NewKey() = %v", err)
	}
	signer, err := imagesign.Open(key, secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys(t, string(public)).Check(machine(), []byte(sign(t, signer, machine()))); err != nil {
		t.Error(err)
	}
	if _, err := imagesign.Open(key, secret.New("another")); err == nil || err.Error() != "it is no secret key of minisign, or the passphrase is another one" {
		t.Errorf("Open() with another passphrase = %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	_, public := newKey(t)
	for name, test := range map[string]struct{ text, want string }{
		"empty":        {"", "there is no key in it"},
		"comments":     {"untrusted comment: a key\n# none\n", "there is no key in it"},
		"a secret key": {oldKey, "line 2 is no public key of minisign"},
		"rubbish":      {public + "x\n", "line 3 is no public key of minisign"},
	} {
		if got, err := imagesign.ParseKeys([]byte(test.text)); err == nil || err.Error() != test.want || got != nil {
			t.Errorf("%s: %v, %v; want %q", name, got, err, test.want)
		}
	}
	if got := keys(t, public+public); len(got) != 1 {
		t.Errorf("one key twice is %d keys", len(got))
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(oldSignature))
	f.Add([]byte("untrusted comment: x\n\n\n"))
	trusted, err := imagesign.ParseKeys([]byte(oldPublic))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature []byte) {
		statement := machine()
		statement.Pack = strings.Repeat("e", 64) // never signed
		if id, err := trusted.Check(statement, signature); err == nil {
			t.Errorf("%q is a signature by %s", signature, id)
		}
		_, _ = imagesign.ParseKeys(signature)
	})
}
