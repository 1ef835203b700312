//go:build linux

package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
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
		{[]string{ill}, "port " + ill + ` answered "HTTP/1.1 403 Forbidden"`},
		{nil, "health takes one port"},
		{[]string{"0"}, `no port: "0"`},
		{[]string{"70000"}, `no port: "70000"`},
		{[]string{"-1"}, `no port: "-1"`},
	} {
		got := ""
		if err := health(test.args); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("health(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}
