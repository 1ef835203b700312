// Command upstream answers over TLS, and says whether a request had the credential.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	server := http.Server{
		Addr: ":443", ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "upstream: %s %s authorized=%v\n", r.Method, r.URL.Path, r.Header.Get("Authorization") == os.Getenv("WANT"))
		}),
	}
	log.Fatal(server.ListenAndServeTLS(os.Args[1], os.Args[2]))
}
