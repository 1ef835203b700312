//go:build linux

package initd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/ownsock"
)

const (
	// checkTimeout bounds one look at one daemon.
	checkTimeout = time.Second
	// healthTimeout bounds a whole question to init.
	healthTimeout = 3 * time.Second
	maxReport     = 64 << 10
)

// Report is init's answer to a health question.
type Report struct {
	OK      bool              `json:"ok"`
	State   string            `json:"state"`   // "waiting for bootstrap" or "running"
	Daemons map[string]string `json:"daemons"` // "ok" or what is wrong
}

// check looks at every daemon, side by side.
func check(ctx context.Context, daemons []*daemon) Report {
	report := Report{OK: true, State: "running", Daemons: make(map[string]string, len(daemons))}
	results := make([]string, len(daemons))
	var all sync.WaitGroup
	for i, d := range daemons {
		all.Go(func() { results[i] = d.health(ctx) })
	}
	all.Wait()
	for i, d := range daemons {
		report.Daemons[d.spec.Name] = results[i]
		report.OK = report.OK && results[i] == "ok"
	}
	return report
}

func (d *daemon) health(ctx context.Context) string {
	switch {
	case !d.isRunning():
		return "dead"
	case d.spec.Health == "":
		return "ok"
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if address, ok := strings.CutPrefix(d.spec.Health, "tcp://"); ok {
		return dialHealth(ctx, address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.spec.Health, nil)
	if err != nil {
		return err.Error()
	}
	// No proxy, no redirect, no kept connection: only the daemon itself may answer.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "no answer"
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Sprintf("answers %d", response.StatusCode)
	}
	return "ok"
}

func dialHealth(ctx context.Context, address string) string {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "no answer"
	}
	_ = conn.Close()
	return "ok"
}

// serveHealth answers every connection with one report until ctx ends.
func serveHealth(ctx context.Context, path string, report func(context.Context) Report) (wait func(), err error) {
	_ = os.Remove(path) // of an init before us: the directory is our container's own
	listener, err := ownsock.Listen(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening the health socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	var served sync.WaitGroup
	served.Go(func() {
		defer stop()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(healthTimeout))
			_ = json.NewEncoder(conn).Encode(report(ctx))
			_ = conn.Close()
		}
	})
	return served.Wait, nil
}

// Health asks the init behind the socket, prints a line per daemon and returns the exit
// code: 0 when all selected daemons answer, else 1.
func Health(ctx context.Context, socket string, stdout, stderr io.Writer) int {
	report, err := ask(ctx, socket)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle: asking init: %v\n", err)
		return 1
	}
	_, _ = fmt.Fprintf(stdout, "init %s\n", report.State)
	for _, name := range slices.Sorted(maps.Keys(report.Daemons)) {
		_, _ = fmt.Fprintf(stdout, "%s %s\n", name, report.Daemons[name])
	}
	if !report.OK {
		return 1
	}
	return 0
}

func ask(ctx context.Context, socket string) (Report, error) {
	dialer := net.Dialer{Timeout: healthTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return Report{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(healthTimeout)); err != nil {
		return Report{}, err
	}
	var report Report
	err = json.NewDecoder(io.LimitReader(conn, maxReport)).Decode(&report)
	return report, err
}
