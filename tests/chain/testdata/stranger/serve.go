package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// serve says ready, and then a line for each request.
func serve(args []string) error {
	next := make(chan struct{}, 16)
	mux := http.NewServeMux()
	// The right credential is named by the path, so that it can change between requests.
	mux.HandleFunc("GET /v1/is/{sum}", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if hex.EncodeToString(sum[:]) != r.PathValue("sum") {
			http.Error(w, "another credential is wanted", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "welcome\n")
	})
	mux.HandleFunc("POST /v1/sum", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		size, err := io.Copy(hash, r.Body)
		_, _ = fmt.Fprintf(w, "%d bytes, sha256 %x, %v\n", size, hash.Sum(nil), err)
	})
	mux.HandleFunc("GET /v1/bytes/{size}", func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.ParseInt(r.PathValue("size"), 10, 64)
		w.Header().Set("Content-Length", r.PathValue("size"))
		_, _ = io.CopyN(w, &counter{}, size)
	})
	// The second event comes only after the client has said that it has the first.
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /v1/go", func(http.ResponseWriter, *http.Request) { next <- struct{}{} })
	fmt.Println("ready")
	return http.ListenAndServeTLS(":443", args[0], args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL.Path, r.Proto)
		mux.ServeHTTP(w, r)
	}))
}

// counter is an endless stream in which a lost or doubled byte is seen.
type counter struct{ at int64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte((c.at + int64(i)) % 251)
	}
	c.at += int64(len(p))
	return len(p), nil
}
