//go:build linux

package initd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestSelected(t *testing.T) {
	t.Parallel()
	config := Config{Daemons: []Daemon{{Name: "firewall"}, {Name: "egress"}}}
	for _, test := range []struct {
		wanted []string
		env    []string
		want   string
	}{
		{nil, nil, "firewall egress"},
		{nil, []string{"BOTTLE_DAEMONS="}, ""},
		{nil, []string{"BOTTLE_DAEMONS= egress , firewall,"}, "egress firewall"},
		{nil, []string{"BOTTLE_DAEMONS=egress,sh"}, `unknown daemon "sh"`},
		{[]string{}, nil, ""},
		{[]string{"egress"}, []string{"BOTTLE_DAEMONS=firewall"}, "egress"},
		{[]string{"Egress"}, nil, `unknown daemon "Egress"`},
	} {
		config.Env = test.env
		daemons, err := config.selected(test.wanted)
		var got []string
		for _, d := range daemons {
			got = append(got, d.Name)
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q with %q selects %q, want %q", test.wanted, test.env, got, test.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{timing: DefaultTiming()}
	now := time.Unix(0, 0)
	die := func(after time.Duration) string {
		started := now
		now = now.Add(after)
		pause, giveUp := b.next(started, now)
		now = now.Add(pause)
		return fmt.Sprint(pause, giveUp)
	}
	var got []string
	for range 8 {
		got = append(got, die(0))
	}
	got = append(got, die(59*time.Second), die(time.Minute), die(time.Second))
	want := []string{
		"100ms false", "200ms false", "400ms false", "800ms false", "1.6s true", "3.2s false", "5s false", "5s false",
		"5s false",    // a minute is what it takes
		"100ms false", // forgiven
		"200ms false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"one\ntwo\n"}, "web| one\nweb| two\n"},
		{[]string{"o", "n", "e", "\n", "tw"}, "web| one\nweb| tw\n"},
		{[]string{"\n\n"}, "web| \nweb| \n"},
		{[]string{long + "yz\nend\n"}, "web| " + long + "\nweb| yz\nweb| end\n"},
		{[]string{long + long + "y"}, "web| " + long + "\nweb| " + long + "\nweb| y\n"},
	} {
		var out bytes.Buffer
		s := &stream{from: "web", journal: &journal{out: &out}}
		for _, text := range test.writes {
			if n, err := io.WriteString(s, text); n != len(text) || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
		}
		s.flush()
		if out.String() != test.want {
			t.Errorf("%.40q gives %.60q, want %.60q", test.writes, out.String(), test.want)
		}
	}
}

func TestHide(t *testing.T) { //nolint:paralleltest // it changes the process
	if err := hide(); err != nil {
		t.Fatal(err)
	}
	if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); got != 0 || err != nil {
		t.Errorf("dumpable = %d, %v", got, err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
