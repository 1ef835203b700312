package launch

import (
	"net"
	"testing"
	"time"
)

func TestCanaryCountsStrangersOnly(t *testing.T) {
	t.Parallel()
	c, err := startCanary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if hits, proved := c.count(); hits != 0 || !proved {
		t.Fatalf("after the host's own proof: hits %d, proved %v", hits, proved)
	}
	conn, err := net.Dial("tcp", c.addr())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a stranger was answered: %d bytes, %v", n, err)
	}
	_ = conn.Close()
	if hits, _ := c.count(); hits != 1 {
		t.Errorf("hits = %d, want the stranger counted", hits)
	}
}
