package supervise_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/supervise"
	"bottle.internal/tests/eventually"
)

// silent is a host that must not be asked.
func silent(t *testing.T) *channel {
	t.Helper()
	return &channel{inputs: make(chan control.Inputs, 1), ask: func(context.Context, string, json.RawMessage) (any, error) {
		t.Error("the host was asked")
		return nil, errors.New("no")
	}}
}

// exchange sends raw bytes and returns status and body of the answer.
func (d *daemon) exchange(request string) (status int, body string) {
	d.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(d.t.Context(), "tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // the daemon may answer before it has read all
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

const accepts = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"

const listCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list-egress-routes"}}`

func post(host, headers, body string) string {
	return fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s", host, accepts+headers, len(body), body)
}

// A page that rebinds a name to 127.0.0.1 has another Host; a page that does not has an
// Origin. Neither gets a word from any path.
func TestOnlyTheBottleIsAnswered(t *testing.T) {
	t.Parallel()
	d := start(t, supervise.Config{Channel: silent(t), Public: proposal.Public(testPlan())})
	_, port, _ := net.SplitHostPort(d.addr)
	if status, body := d.exchange(post(d.addr, "", listCall)); status != 200 || !strings.Contains(body, "api.example.com") {
		t.Fatalf("the bottle itself: %d %s", status, body)
	}
	for name, request := range map[string]string{
		"another name":       post("evil.example.com:"+port, "", listCall),
		"localhost":          post("localhost:"+port, "", listCall),
		"another loopback":   post("127.0.0.2:"+port, "", listCall),
		"no port":            post("127.0.0.1", "", listCall),
		"another port":       post("127.0.0.1:1", "", listCall),
		"a page":             post(d.addr, "Origin: https://evil.example.com\r\n", listCall),
		"a local page":       post(d.addr, "Origin: http://"+d.addr+"\r\n", listCall),
		"a file":             post(d.addr, "Origin: null\r\n", listCall),
		"an empty origin":    post(d.addr, "Origin:\r\n", listCall),
		"health for a page":  "GET /health HTTP/1.1\r\nHost: " + d.addr + "\r\nOrigin: null\r\n\r\n",
		"health for a name":  "GET /health HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
		"a preflight":        "OPTIONS /mcp HTTP/1.1\r\nHost: " + d.addr + "\r\nOrigin: https://evil.example.com\r\n\r\n",
		"an absolute target": "GET http://evil.example.com/health HTTP/1.1\r\nHost: " + d.addr + "\r\n\r\n",
	} {
		status, body := d.exchange(request)
		if status != 403 || strings.Contains(body, "api.example.com") || strings.Contains(body, "ok") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for name, request := range map[string]string{
		"no host":   "POST /mcp HTTP/1.1\r\n" + accepts + "Content-Length: 0\r\n\r\n",
		"two hosts": "GET /health HTTP/1.1\r\nHost: " + d.addr + "\r\nHost: evil.example.com\r\n\r\n",
	} {
		if status, body := d.exchange(request); status != 400 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	d := start(t, supervise.Config{Channel: silent(t)})
	large := strings.Repeat(" ", 1<<20)
	chunked := "POST /mcp HTTP/1.1\r\nHost: " + d.addr + "\r\n" + accepts + "Transfer-Encoding: chunked\r\n\r\n100001\r\n" + large + " \r\n0\r\n\r\n"
	for _, test := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"a MiB and a byte", post(d.addr, "", large+" "), 413, "bottle: a message has at most 1048576 bytes\n"},
		{"the same in chunks", chunked, 413, "bottle: a message has at most 1048576 bytes\n"},
		{"a MiB", post(d.addr, "", large), 400, ""},
		{"a batch", post(d.addr, "", " ["+listCall+"]"), 400, "bottle: one message at a time\n"},
		{"depth", post(d.addr, "", strings.Repeat(`{"a":`, 100_000)), 400, ""},
		{"no JSON", post(d.addr, "", "hello"), 400, ""},
		{"nothing", post(d.addr, "", ""), 400, ""},
		{"GET", "GET /mcp HTTP/1.1\r\nHost: " + d.addr + "\r\nAccept: text/event-stream\r\n\r\n", 405, ""},
		{"another path", "GET /queue HTTP/1.1\r\nHost: " + d.addr + "\r\n\r\n", 404, "bottle: MCP is at / and /mcp\n"},
		{"POST to health", "POST /health HTTP/1.1\r\nHost: " + d.addr + "\r\nContent-Length: 0\r\n\r\n", 405, "bottle: GET only\n"},
		{"health", "GET /health HTTP/1.1\r\nHost: " + d.addr + "\r\n\r\n", 200, "{\"status\":\"ok\",\"routes\":0}\n"},
		{"a long head", "GET /health HTTP/1.1\r\nHost: " + d.addr + "\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, ""},
	} {
		status, body := d.exchange(test.request)
		if status != test.status || test.want != "" && body != test.want {
			t.Errorf("%s: %d %q, want %d %q", test.name, status, body, test.status, test.want)
		}
	}
}

// A peer that sends half a request loses its connection; it holds no slot meanwhile or after.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	d := start(t, supervise.Config{Channel: silent(t), Head: 250 * time.Millisecond, Sessions: 1})
	for name, half := range map[string]string{
		"head": "POST /mcp HTTP/1.1\r\nHost: ",
		"body": "POST /mcp HTTP/1.1\r\nHost: " + d.addr + "\r\n" + accepts + "Content-Length: 100\r\n\r\n{",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		if errors.Is(err, syscall.ECONNRESET) {
			err = nil // a slow daemon had not read all of it when the time was over
		}
		if err != nil || strings.Contains(string(text), "200 OK") {
			t.Errorf("half a %s: %q, %v", name, text, err)
		}
	}
	d.slotIsBack()
}

// The ninth call is turned away while eight wait; the health check is not.
func TestEightCallsAtATime(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 8), make(chan struct{})
	d := start(t, supervise.Config{Channel: &channel{
		inputs: make(chan control.Inputs, 1),
		ask: func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
			asked <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ask.Answer{Status: ask.Pending}, nil
		},
	}})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"capability-request","arguments":{"capability":"x","justification":"y"}}}`
	results := make(chan int, 8)
	for range 8 {
		go func() {
			status, _ := d.exchange(post(d.addr, "", body))
			results <- status
		}()
	}
	for range 8 {
		<-asked
	}
	if status, text := d.exchange(post(d.addr, "", body)); status != 503 || text != "bottle: 8 calls are under way already\n" {
		t.Errorf("the ninth: %d %q", status, text)
	}
	if status, _ := d.exchange("GET /health HTTP/1.1\r\nHost: " + d.addr + "\r\n\r\n"); status != 200 {
		t.Errorf("health: %d", status)
	}
	close(release)
	for range 8 {
		if status := <-results; status != 200 {
			t.Errorf("one of the eight: %d", status)
		}
	}
}

// Bad arguments do not reach the host, and the agent is told what is wrong with them.
func TestArgumentsAreCheckedBeforeTheHostIsAsked(t *testing.T) {
	t.Parallel()
	d := start(t, supervise.Config{Channel: silent(t), Public: proposal.Public(testPlan())})
	agent := d.client()
	for _, test := range []struct {
		tool      string
		arguments any
		want      string
	}{
		{"egress-allow", object{"host": "10.0.0.1", "justification": "x"}, `host "10.0.0.1": it is an address; only names can be asked for`},
		{"egress-allow", object{"host": "other.test", "justification": "x"}, `host "other.test": names under .test are not on the internet`},
		{"egress-allow", object{"host": "a.example.com"}, "justification is missing: the operator reads it"},
		{"egress-allow", object{"host": "a.example.com", "justification": "x", "auth": "env:X"}, `the arguments: unknown field "auth"`},
		{"capability-request", object{"capability": strings.Repeat("x", 201), "justification": "x"}, "capability has 201 bytes, at most 200 are allowed"},
		{"push-approval", object{"remote": "../x", "branch": "b", "justification": "x"}, `remote: invalid name "../x": it must begin with a letter from a to z`},
		{"list-egress-routes", object{"all": true}, `unknown field "all"`},
	} {
		if a := d.must(agent, test.tool, test.arguments); !a.failed || a.text != test.want {
			t.Errorf("%s %v: %v %q, want %q", test.tool, test.arguments, a.failed, a.text, test.want)
		}
	}
}

func TestWithoutTheHostNothingIsApproved(t *testing.T) {
	t.Parallel()
	answers := map[string]error{
		"refused": &control.AnswerError{Text: "the host said no"},
		"dead":    errors.New("the channel to init ended: secret detail"),
	}
	for name, problem := range answers {
		d := start(t, supervise.Config{Channel: &channel{ask: func(context.Context, string, json.RawMessage) (any, error) { return nil, problem }}})
		a := d.must(d.client(), "capability-request", object{"capability": "agent's words", "justification": "agent's words"})
		want := "the host said no"
		if name == "dead" {
			want = `{"status":"failed","message":"the host does not answer: nothing was approved; ask again later"}`
		}
		if !a.failed || a.text != want {
			t.Errorf("%s: %+v", name, a)
		}
		if strings.Contains(d.log.String(), "agent's words") {
			t.Errorf("%s: the log has what the agent wrote: %s", name, d.log)
		}
	}
}

// A host that is silent longer than it should be is no approval either.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	d := start(t, supervise.Config{Wait: time.Millisecond, Grace: time.Millisecond, Channel: &channel{
		ask: func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		},
	}})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"capability-request","arguments":{"capability":"x","justification":"y"}}}`
	if status, text := d.exchange(post(d.addr, "", body)); strings.Contains(text, "approved\"") || strings.Contains(text, `"pending"`) {
		t.Errorf("%d %s", status, text)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	good := inputsOf(t, testPlan())[ask.InputName].Reveal()
	for _, test := range []struct {
		name   string
		inputs control.Inputs
		want   string
	}{
		{"none", control.Inputs{}, "0 inputs, only supervise.json is understood"},
		{"two", control.Inputs{ask.InputName: secret.New(good), "x": {}}, "2 inputs, only supervise.json is understood"},
		{"another name", control.Inputs{"x": secret.New(good)}, "reading supervise.json: EOF"},
		{"another version", control.Inputs{ask.InputName: secret.New(strings.Replace(good, `"version": 1`, `"version": 2`, 1))}, "reading supervise.json: version 2, only 1 is understood"},
		{"another base", control.Inputs{ask.InputName: secret.New(strings.Replace(good, "/v1/", "/v2/", 1))}, "reading supervise.json: base is not that of the routes"},
		{"a credential", control.Inputs{ask.InputName: secret.New(strings.Replace(good, `"auth": true`, `"auth": "env:X"`, 1))}, "reading supervise.json: json: cannot unmarshal string into Go struct field Route.Public.routes.auth of type bool"},
		{"something behind it", control.Inputs{ask.InputName: secret.New(good + "{}")}, "reading supervise.json: it is not in the form that bottle writes"},
	} {
		c := &channel{inputs: make(chan control.Inputs, 1)}
		c.inputs <- test.inputs
		if err := supervise.Run(t.Context(), c, io.Discard); fmt.Sprint(err) != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// A later input that is not understood leaves the old one in force, and is told.
func TestBadReload(t *testing.T) {
	t.Parallel()
	c := silent(t)
	d := start(t, supervise.Config{Channel: c, Public: proposal.Public(testPlan())})
	c.inputs <- control.Inputs{}
	d.log.AwaitText(t, `"event":"reload","problem":"0 inputs`)
	if a := d.must(d.client(), "list-egress-routes", nil); !strings.Contains(a.text, "api.example.com") {
		t.Errorf("after a bad reload: %s", a.text)
	}
}

// With the channel gone nobody can be asked: the daemon ends, and init starts it anew.
func TestChannelEnds(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := silent(t)
	close(c.inputs)
	if err := supervise.NewServer(supervise.Config{Channel: c}).Follow(t.Context(), listener); fmt.Sprint(err) != "the channel to init ended" {
		t.Errorf("Follow = %v", err)
	}
}

// What an agent can cause at will does not fill the log; decisions always stand in it.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	c := &channel{inputs: make(chan control.Inputs), ask: func(context.Context, string, json.RawMessage) (any, error) {
		return ask.Answer{ID: strings.Repeat("a", 64), Status: ask.Approved}, nil
	}}
	d := start(t, supervise.Config{Channel: c, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	for range 60 {
		d.exchange("GET / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n")
	}
	d.must(d.client(), "capability-request", object{"capability": "x", "justification": "y"})
	d.stop()
	text := d.log.String()
	if n := strings.Count(text, `"event":"deny"`); n != 50 {
		t.Errorf("%d denials are written", n)
	}
	if !strings.Contains(text, `"event":"suppressed","count":10`) || !strings.Contains(text, `"event":"call","tool":"capability-request"`) {
		t.Errorf("log: %s", text)
	}
}

// The real channel, with init's end of it in between.
func TestOverTheRealChannel(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), proposal.Limits{})
	ours, theirs := net.Pipe()
	channel := control.NewDaemon(ours)
	peer := control.NewDaemonPeer(theirs)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			q, err := peer.Next()
			if err != nil {
				return
			}
			a := control.Answer{ID: q.ID}
			got, err := h.queue.Handle(t.Context(), q.Body)
			if err != nil {
				a.Error = err.Error()
			} else {
				a.Body = ask.Marshal(got)
			}
			_ = peer.Answer(a)
		}
	}()
	d := start(t, supervise.Config{Channel: channel, Wait: soon})
	agent := d.client()
	if a := d.must(agent, "egress-allow", object{"host": "a.example.com", "justification": "x"}); a.Status != ask.Pending {
		t.Errorf("%+v", a)
	}
	if a := d.must(agent, "egress-allow", object{"host": "a.example.com", "justification": "x", "port": 8888}); !a.failed {
		t.Errorf("%+v", a)
	}
	d.stop()
	_ = channel.Close()
	<-done
}

// The same for a client of an older protocol, whose calls the SDK does not end by itself.
func TestHangUpOfAnOlderClient(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	d := start(t, supervise.Config{Sessions: 1, Channel: &channel{ask: func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}}})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"capability-request","arguments":{"capability":"x","justification":"y"}}}`
	if _, err := io.WriteString(conn, post(d.addr, "", body)); err != nil {
		t.Fatal(err)
	}
	<-asked
	_ = conn.Close()
	d.slotIsBack() // far sooner than the call would end
}

// slotIsBack waits until the only session's place is free again.
func (d *daemon) slotIsBack() {
	d.t.Helper()
	eventually.True(d.t, "the slot is back", func() bool {
		status, _ := d.exchange(post(d.addr, "", listCall))
		return status == 200
	})
}
