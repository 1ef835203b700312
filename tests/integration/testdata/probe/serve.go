package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The upstream's ports. All of them are alive; the manifest declares some.
const (
	httpPort   = "80"
	tlsPort    = "443"
	duplexPort = "8444"
	hiddenPort = "8443" // alive, and in no route
	countsPort = "9999"
	dnsPort    = "53"
)

// tallies is what the upstream has seen.
type tallies struct {
	mu       sync.Mutex
	Accepted map[string]int `json:"accepted"` // connections by port
	Packets  map[string]int `json:"packets"`  // datagrams by port
	Names    map[string]int `json:"names"`    // TLS names asked for
	Hosts    map[string]int `json:"hosts"`    // of all HTTP requests, by their Host
	Echoes   int            `json:"echoes"`   // ICMP echo requests that this system answered
	Requests int            `json:"requests"`
}

func (t *tallies) add(change func(*tallies)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t)
}

// counted is a listener that counts.
type counted struct {
	net.Listener
	port string
	seen *tallies
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.seen.add(func(t *tallies) { t.Accepted[c.port]++ })
	}
	return conn, err
}

func serve(names []string) error {
	seen := &tallies{Accepted: map[string]int{}, Packets: map[string]int{}, Names: map[string]int{}, Hosts: map[string]int{}}
	config, err := certificate(names, seen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes/{size}", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		seen.add(func(t *tallies) { t.Requests++ })
		w.Header().Set("Content-Length", r.PathValue("size"))
		_, _ = io.CopyN(w, newPattern(uint64(size)), size)
	})
	mux.HandleFunc("GET /to/{host}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.PathValue("host")+"/bytes/1", http.StatusFound)
	})
	hosts := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(func(t *tallies) { t.Hosts[r.Host]++ })
		mux.ServeHTTP(w, r)
	})
	failed := make(chan error, 6)
	listen := func(port string, run func(net.Listener) error) error {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":"+port)
		if err == nil {
			go func() { failed <- run(counted{listener, port, seen}) }()
		}
		return err
	}
	web := func(l net.Listener) error { return http.Serve(l, hosts) }
	secure := func(l net.Listener) error { return http.Serve(tls.NewListener(l, config), hosts) }
	both := func(l net.Listener) error { return serveDuplex(tls.NewListener(l, config)) }
	report := func(l net.Listener) error { return http.Serve(l, http.HandlerFunc(seen.show)) }
	for port, run := range map[string]func(net.Listener) error{
		httpPort: web, tlsPort: secure, hiddenPort: secure, duplexPort: both, countsPort: report, dnsPort: web,
	} {
		if err := listen(port, run); err != nil {
			return err
		}
	}
	for _, port := range []string{dnsPort, tlsPort} {
		packets, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", ":"+port)
		if err != nil {
			return err
		}
		go seen.receive(packets, port)
	}
	fmt.Println("ready")
	return <-failed
}

// receive answers every datagram.
func (t *tallies) receive(packets net.PacketConn, port string) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		t.add(func(t *tallies) { t.Packets[port]++ })
		_, _ = packets.WriteTo(buffer[:n], from)
	}
}

// echoes is what the kernel counts for this network namespace.
func echoes() int {
	text, _ := os.ReadFile("/proc/net/snmp")
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, "InEchos"); i > 0 && i < len(fields) {
			n, _ := strconv.Atoi(fields[i])
			return n
		}
	}
	return 0
}

func (t *tallies) show(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Echoes = echoes()
	_ = json.NewEncoder(w).Encode(t)
}

// counts is run inside the upstream's container.
func counts([]string) error {
	response, err := http.Get("http://127.0.0.1:" + countsPort + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// serveDuplex reads until the client half-closes, says what arrived, and only then sends
// as much as the client asked for in its first eight bytes.
func serveDuplex(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			var want [16]byte
			if _, err := io.ReadFull(conn, want[:]); err != nil {
				return
			}
			size, err := strconv.ParseInt(string(want[:]), 16, 64)
			if err != nil {
				return
			}
			hash := sha256.New()
			count, err := io.Copy(hash, conn)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "%d bytes, sha256 %x\n", count, hash.Sum(nil))
			_, _ = io.CopyN(conn, newPattern(uint64(size)), size)
		}()
	}
}

// certificate makes a self-signed one: whom the guest trusts is not the question here.
func certificate(names []string, seen *tallies) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			seen.add(func(t *tallies) { t.Names[hello.ServerName]++ })
			return nil, nil
		},
	}, nil
}
