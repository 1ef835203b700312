//go:build linux

package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	answer := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
		return port
	}
	well, ill := answer(http.StatusOK), answer(http.StatusForbidden)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{well}, ""},
		{[]string{ill}, "127.0.0.1:" + ill + ` answered "HTTP/1.1 403 Forbidden"`},
		{nil, "want one port"},
		{[]string{"0"}, `no port: "0"`},
		{[]string{"70000"}, `no port: "70000"`},
		{[]string{"-1"}, `no port: "-1"`},
	} {
		got := ""
		if err := health(test.args, 0); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("health(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}

// The forwarder of a machine that has just started may close the first connections.
func TestHealthWaitsForTheRoad(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n == 3 {
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			}
			_ = conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if err := health([]string{port}, 10*time.Second); err != nil {
		t.Error(err)
	}
	if err := health([]string{port}, 0); !errors.Is(err, errNoRoad) {
		t.Errorf("without patience: %v, want that nobody answered", err)
	}
}
