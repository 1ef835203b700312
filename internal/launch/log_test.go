package launch_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
)

// keptAudit keeps what the bundle says.
type keptAudit struct {
	fakeAudit
	bundle *bytes.Buffer
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (a keptAudit) Bundle() io.WriteCloser { return nopCloser{a.bundle} }

// hook is a bottle without credentials, and a moment in which its directory is there.
type hook func()

func (h hook) First(context.Context) (map[int]secret.Value, map[int]error) {
	h()
	return map[int]secret.Value{}, nil
}

func (h hook) Refresh(context.Context, int) (secret.Value, error) { return secret.Value{}, nil }

// SECURITY-RULES 24: a disk without room for the operator's convenient log keeps nothing out
// of the audit log, which has its own way to fail.
func TestAuditLogDoesNotDependOnTheOtherLog(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("there is no " + full)
	}
	w := newWorld(t)
	w.secrets.Tokens = hook(func() {
		if err := os.Symlink(full, filepath.Join(w.state.Dir(), w.plan.Identity, state.BundleLog)); err != nil {
			t.Error(err)
		}
	})
	kept := keptAudit{fakeAudit{w}, &bytes.Buffer{}}
	w.audit = kept
	bottle := w.running()
	if got := kept.bundle.String(); !strings.Contains(got, `firewall| {"event":"allow"`) {
		t.Errorf("the audit log has %q", got)
	}
	if !strings.Contains(bottle.Receipt(), "echo.bottle.test") {
		t.Errorf("the receipt forgets it:\n%s", bottle.Receipt())
	}
}
