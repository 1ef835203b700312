//go:build integration

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	eachTime = 300  // requests for one median
	together = 16   // clients at once
	burst    = 8000 // requests of all of them
)

// get makes a request as an agent does, with the placeholder for a credential.
func get(ctx context.Context, c *http.Client, target string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+placeholder)
	request.Header.Set("Anthropic-Version", "2023-06-01")
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", target, response.Status)
	}
	return response, nil
}

// whole is a request with its answer read to the end.
func whole(ctx context.Context, c *http.Client, target string) error {
	response, err := get(ctx, c, target)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// median is a step that does something so often and takes the middle time.
func median(what string, count int, once func(b *testing.B) time.Duration) step {
	return step{what, func(b *testing.B) time.Duration {
		b.Helper()
		took := make([]time.Duration, count)
		for i := range took {
			took[i] = once(b)
		}
		slices.Sort(took)
		return took[count/2]
	}}
}

// latency is one request after the other on one connection.
func (n *internet) latency(b *testing.B, w way) step {
	b.Helper()
	client := n.open(b, w)
	once := func(b *testing.B) time.Duration {
		begin := time.Now()
		if err := whole(b.Context(), client, w.base+"/v1/messages"); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	return median(fmt.Sprintf("%s, median of %d requests", w.what, eachTime), eachTime, once)
}

// throughput is how long many clients need for a number of requests.
func (n *internet) throughput(b *testing.B, w way, requests int) step {
	b.Helper()
	client := n.open(b, w)
	all := func(b *testing.B, requests int) {
		failed := make([]error, together)
		var running sync.WaitGroup
		for i := range together {
			running.Go(func() {
				for range requests / together {
					if err := whole(b.Context(), client, w.base+"/v1/messages"); err != nil {
						failed[i] = err
						return
					}
				}
			})
		}
		running.Wait()
		for _, err := range failed {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	all(b, 10*together) // opens the other connections
	what := fmt.Sprintf("%s, %d requests of %d clients", w.what, requests, together)
	return timed(what, func(b *testing.B) { all(b, requests) })
}

// BenchmarkEgressLatency is what egress adds to a request, TLS on both sides included.
func BenchmarkEgressLatency(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	compare(b, runs(b, 7), n.latency(b, ours), n.latency(b, n.direct()),
		goal{"ours at most 0.3 ms more", func(ours, against float64) bool { return ours-against <= 0.3 }})
}

// BenchmarkChain is the same through the firewall and egress. They are in one process
// here; in the bundle each has its own, and the gate stands before them.
func BenchmarkChain(b *testing.B) {
	n := newInternet(b)
	ours := n.chain(b)
	compare(b, runs(b, 7), n.latency(b, ours), n.latency(b, n.direct()),
		goal{"ours at most 0.6 ms more", func(ours, against float64) bool { return ours-against <= 0.6 }})
}

// BenchmarkEgressThroughput is against a proxy that does nothing but TLS and a header.
func BenchmarkEgressThroughput(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	compare(b, runs(b, 7), n.throughput(b, ours, burst), n.throughput(b, n.reverseProxy(b), burst),
		goal{"at least 0.9 of its requests per second", func(ours, against float64) bool { return against/ours >= 0.9 }})
}

// BenchmarkEgressPeerGoproxy is the same against a library for such proxies.
func BenchmarkEgressPeerGoproxy(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	compare(b, runs(b, 5), n.throughput(b, ours, burst), n.throughput(b, n.goproxy(b), burst), goal{})
}

// BenchmarkEgressPeerMitmproxy is the same against mitmproxy, where it is installed.
func BenchmarkEgressPeerMitmproxy(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	compare(b, runs(b, 3), n.throughput(b, ours, burst/4), n.throughput(b, n.mitmproxy(b), burst/4), goal{})
}

// firstEvent is the time from a request to the first event of a stream that stays open.
func (n *internet) firstEvent(b *testing.B, w way) step {
	b.Helper()
	client := n.open(b, w)
	once := func(b *testing.B) time.Duration {
		ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		response, err := get(ctx, client, w.base+"/v1/events")
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		first, err := lines.ReadString('\n')
		took := time.Since(begin)
		if err != nil || first != "data: first\n" {
			b.Fatalf("the first event: %q, %v", first, err)
		}
		n.seen <- struct{}{}
		if _, err := io.Copy(io.Discard, lines); err != nil {
			b.Fatal(err)
		}
		return took
	}
	return median(fmt.Sprintf("%s, median of %d streams", w.what, 100), 100, once)
}

// BenchmarkEgressFirstEvent is how much later the first event of a stream arrives.
func BenchmarkEgressFirstEvent(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	compare(b, runs(b, 7), n.firstEvent(b, ours), n.firstEvent(b, n.direct()),
		goal{"ours at most 2 ms later", func(ours, against float64) bool { return ours-against <= 2 }})
}

const megabyte = 1 << 20

// heapPeak is by how much the heap in use of this process grew at most, in MB.
func heapPeak(do func()) float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, peak := stats.HeapInuse, stats.HeapInuse
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapInuse)
			}
		}
	}()
	do()
	close(stop)
	<-done
	return float64(peak-before) / megabyte
}

// download is a large body. The heap is that of client, proxy and upstream together: what
// is held back anywhere is seen.
func (n *internet) download(b *testing.B, w way, peak *float64) step {
	b.Helper()
	client := n.open(b, w)
	return step{w.what + ", a body of 1 GB", func(b *testing.B) (took time.Duration) {
		*peak = max(*peak, heapPeak(func() {
			begin := time.Now()
			if err := whole(b.Context(), client, w.base+"/v1/body"); err != nil {
				b.Fatal(err)
			}
			took = time.Since(begin)
		}))
		return took
	}}
}

// BenchmarkEgressBody is the rate of a large body, and that it is not kept.
func BenchmarkEgressBody(b *testing.B) {
	const bound = 32 // MB
	n := newInternet(b)
	ours := n.egress(b)
	var mine, other float64
	compare(b, runs(b, 1), n.download(b, ours, &mine), n.download(b, n.direct(), &other), goal{
		fmt.Sprintf("at least 0.7 of the rate, heap at most %d MB more", bound),
		func(ours, against float64) bool { return against/ours >= 0.7 && mine <= bound },
	})
	b.ReportMetric(mine, "MB-heap/ours")
	note(b, fmt.Sprintf("the heap grew by %.1f MB at most, directly by %.1f MB", mine, other))
}

// BenchmarkEgressPeerBody is the same against the least that a proxy does, which says how
// much of the loss is TLS done twice on the same processors.
func BenchmarkEgressPeerBody(b *testing.B) {
	n := newInternet(b)
	ours := n.egress(b)
	var mine, other float64
	compare(b, runs(b, 1), n.download(b, ours, &mine), n.download(b, n.reverseProxy(b), &other), goal{})
	note(b, fmt.Sprintf("the heap grew by %.1f MB at most, by the other by %.1f MB", mine, other))
}
