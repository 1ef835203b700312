package egress

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/printable"
)

// DefaultHealth is where the bundle's init asks whether egress serves.
const DefaultHealth = "127.0.0.2:9080"

// Run is the daemon: it takes its first inputs, serves until ctx ends, and follows later
// inputs. First inputs that are not understood are an error; later ones are logged and
// change nothing.
func Run(ctx context.Context, channel Channel, out io.Writer) error {
	return RunWith(ctx, channel, out, DefaultHealth, Settings{})
}

// RunWith is [Run] elsewhere: health is its address, such as 127.0.0.1:0.
func RunWith(ctx context.Context, channel Channel, out io.Writer, health string, settings Settings) error {
	inputs, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	s := NewServer(channel, out, settings)
	defer s.Close()
	if err := s.Apply(inputs); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", health)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", health, err)
	}
	healthy := s.serveHealth(listener)
	defer healthy()
	s.logReady(listener.Addr().String())
	return control.Follow(ctx, channel.Inputs(), func(inputs control.Inputs) { s.reload(s.Apply(inputs)) })
}

func (s *Server) reload(err error) {
	if err != nil {
		s.journal.Write(line{Event: eventReload, Problem: printable.ASCII(err.Error(), 400)})
		return
	}
	snap := s.snapshot.Load()
	routes := len(snap.routes)
	s.journal.Write(line{Event: eventReload, Routes: &routes, Missing: snap.missing})
}

func (s *Server) logReady(health string) {
	listen := []string{health}
	s.reloading.Lock()
	for _, door := range s.doors {
		listen = append(listen, door.listener.Addr().String())
	}
	s.reloading.Unlock()
	slices.Sort(listen)
	snap := s.snapshot.Load()
	routes := len(snap.routes)
	s.journal.Write(line{Event: eventReady, Listen: listen, Routes: &routes, Missing: snap.missing})
}

// serveHealth answers GET /health and nothing else, in clear; its answer ends it.
func (s *Server) serveHealth(listener net.Listener) (stop func()) {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.RequestURI != "/health" {
				http.Error(w, "only GET /health is answered here", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(w, s.health())
		}),
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	return func() {
		_ = server.Close()
		_ = listener.Close()
		<-done
	}
}
