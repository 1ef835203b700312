package firewall_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"bottle.internal/tests/fakenet"
)

// upstream runs handle for each connection.
func upstream(t *testing.T, handle func(net.Conn)) net.Listener {
	t.Helper()
	listener := fakenet.Listen(t)
	fakenet.Serve(t, listener, handle)
	return listener
}

// tlsUpstream answers TLS as host and hands the decrypted connection over.
func (w *world) tlsUpstream(host string, handle func(*tls.Conn)) net.Listener {
	w.t.Helper()
	leaf, err := w.authority.Leaf(host)
	if err != nil {
		w.t.Fatal(err)
	}
	return upstream(w.t, func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
		if server.Handshake() == nil {
			handle(server)
		}
	})
}

func httpUpstream(t *testing.T, handler http.HandlerFunc) net.Listener {
	t.Helper()
	listener := fakenet.Listen(t)
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return listener
}

func echoConn(conn *tls.Conn) { _, _ = io.Copy(conn, conn) }
