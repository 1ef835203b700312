package launch

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// SECURITY-RULES 26: denials that the audit log only counts cannot fill the host's disk.
func TestBundleLogIsBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := &bounded{out: &out, limit: 10}
	for _, line := range []string{"12345\n", "123\n", "1\n", "2\n"} {
		if n, err := io.WriteString(log, line); n != len(line) || err != nil {
			t.Errorf("Write(%q) = %d, %v", line, n, err)
		}
	}
	if want := "12345\n123\n\nbottle: this log is full; see bottle audit show\n"; out.String() != want {
		t.Errorf("log %q, want %q", out.String(), want)
	}
}

func TestBundleLogOnAFullDiskIsNoProblem(t *testing.T) {
	t.Parallel()
	read, write := io.Pipe()
	_ = read.CloseWithError(errors.New("no space left"))
	if n, err := io.WriteString(&bounded{out: write, limit: 10}, "line\n"); n != 5 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
}
