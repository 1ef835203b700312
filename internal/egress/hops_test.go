package egress_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"bottle.internal/internal/egress"
)

// What an answer's Connection names was meant for egress, and ends there.
func TestHopHeadersOfAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, open("open.test"))
	leaf, err := w.internet.Leaf("open.test")
	if err != nil {
		t.Fatal(err)
	}
	// HTTP/2 has no such header.
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	upstream := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Connection", "keep-alive, X-Hop")
		rw.Header().Set("X-Hop", "1")
		rw.Header().Set("X-End", "2")
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = upstream.Serve(listener) }()
	defer func() { _ = upstream.Close(); <-served }()
	w.place("open.test", listener.Addr().String())
	response, err := w.client(true).Do(request(t, "GET", "https://open.test/", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.Header["X-Hop"] != nil || response.Header.Get("X-End") != "2" {
		t.Errorf("the agent gets %v", response.Header)
	}
}
