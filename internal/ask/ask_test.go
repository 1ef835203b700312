package ask_test

import (
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
)

func TestParseAllow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ arguments, want string }{
		{`{"host":"a.example.com","justification":" x "}`, `{"host":"a.example.com","port":443,"methods":["GET","HEAD"],"paths":["/"],"justification":"x"}`},
		{
			`{"host":"A.Example.COM","port":8443,"methods":["POST","GET","POST"],"paths":["/v2/","/v1/","/v2/"],"justification":"x"}`,
			`{"host":"a.example.com","port":8443,"methods":["GET","POST"],"paths":["/v1/","/v2/"],"justification":"x"}`,
		},
		{`{"host":"xn--bcher-kva.example.com","justification":"x"}`, `{"host":"xn--bcher-kva.example.com","port":443,"methods":["GET","HEAD"],"paths":["/"],"justification":"x"}`},
		{`{"host":"known.test","justification":"x"}`, `{"host":"known.test","port":443,"methods":["GET","HEAD"],"paths":["/"],"justification":"x"}`},
	} {
		got, err := ask.ParseAllow([]byte(test.arguments), []string{"known.test"})
		if err != nil || string(ask.Marshal(got)) != test.want {
			t.Errorf("%s: %s, %v; want %s", test.arguments, ask.Marshal(got), err, test.want)
		}
	}
}

// Each refusal has its own test: they are rule 8, and the agent reads them.
func TestParseAllowRefuses(t *testing.T) {
	t.Parallel()
	host := func(name string) string { return `{"host":"` + name + `","justification":"x"}` }
	with := func(rest string) string { return `{"host":"a.example.com","justification":"x",` + rest + `}` }
	for _, test := range []struct{ arguments, want string }{
		{host("10.0.0.1"), `host "10.0.0.1": it is an address; only names can be asked for`},
		{host("8.8.8.8"), `host "8.8.8.8": it is an address; only names can be asked for`},
		{host("0x7f.1"), `host "0x7f.1": the host ends in a number and is no plain IPv4 address`},
		{host("2130706433"), `host "2130706433": the host ends in a number and is no plain IPv4 address`},
		{host("a.example.1x"), `host "a.example.1x": it is an address; only names can be asked for`},
		{host("[::1]"), `host "[::1]": a colon or bracket in the host (IPv6 literals too) is not allowed`},
		{host("::1"), `host "::1": a colon or bracket in the host (IPv6 literals too) is not allowed`},
		{host("localhost"), `host "localhost": it is a single label; write the full name`},
		{host("egress"), `host "egress": it is a single label; write the full name`},
		{host("printer.local"), `host "printer.local": names under .local are not on the internet`},
		{host("metadata.google.internal"), `host "metadata.google.internal": names under .internal are not on the internet`},
		{host("app.localhost"), `host "app.localhost": names under .localhost are not on the internet`},
		{host("router.home.arpa"), `host "router.home.arpa": names under .arpa are not on the internet`},
		{host("wiki.corp"), `host "wiki.corp": names under .corp are not on the internet`},
		{host("unknown.test"), `host "unknown.test": names under .test are not on the internet`},
		{host("sub.known.test"), `host "sub.known.test": names under .test are not on the internet`},
		{host("a.example.com."), `host "a.example.com.": a trailing dot is not allowed`},
		{host("a.example.com:443"), `host "a.example.com:443": a colon or bracket in the host (IPv6 literals too) is not allowed`},
		{host("*.example.com"), `host "*.example.com": a host is letters, digits and inner dashes, in labels of 1 to 63 bytes`},
		{host("user@example.com"), `host "user@example.com": user info before the host is not allowed`},
		{host("b\u00fccher.example.com"), `host "bücher.example.com": it holds non-ASCII letters (the xn-- form is the one to declare)`},
		{host("xn--zzzz--.example.com"), `host "xn--zzzz--.example.com": a host is letters, digits and inner dashes, in labels of 1 to 63 bytes`},
		{host("xn--a.example.com"), `host "xn--a.example.com": "xn--a" is no valid xn-- label`},
		{host(""), `host "": the host is empty`},
		{host("a\\u001b[2J.example.com"), `host "a\x1b[2J.example.com": it holds a space or a control character`},
		{with(`"port":8888`), "port 8888 belongs to the bottle itself"},
		{with(`"port":9100`), "port 9100 belongs to the bottle itself"},
		{with(`"port":9420`), "port 9420 belongs to the bottle itself"},
		{with(`"port":9990`), "port 9990 belongs to the bottle itself"},
		{with(`"port":80`), "port 80 is plain http; only https can be asked for"},
		{with(`"port":65536`), "port 65536: it must be from 1 to 65535"},
		{with(`"port":-1`), "port -1: it must be from 1 to 65535"},
		{with(`"port":"443"`), "the arguments: it is not understood: port may not be a string"},
		{with(`"methods":["TRACE"]`), `method "TRACE": known are GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`},
		{with(`"methods":["get"]`), `method "get": known are GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS`},
		{with(`"paths":["v1"]`), `path "v1": the path does not begin with /`},
		{with(`"paths":["/a/../b"]`), `path "/a/../b": the path holds a . or .. segment`},
		{with(`"paths":["/a//b"]`), `path "/a//b": the path holds //`},
		{with(`"paths":["/a*"]`), `path "/a*": a prefix may not hold "*"`},
		{with(`"paths":["/a?b"]`), `path "/a?b": a prefix may not hold "?"`},
		{with(`"paths":["/a%20b"]`), `path "/a%20b": a prefix may not hold "%"`},
		{with(`"paths":[` + strings.Repeat(`"/",`, 16) + `"/"]`), "paths: 17 of them, at most 16 are allowed"},
		{with(`"paths":["/` + strings.Repeat("x", 512) + `"]`), `path "/` + strings.Repeat("x", 39) + `"...: 513 bytes, at most 512 are allowed`},
		{with(`"auth":"env:X"`), `the arguments: unknown field "auth"`},
		{with(`"Host":"b.example.com"`), `the arguments: unknown field "Host"`},
		{with(`"host":"b.example.com"`), `the arguments: "host" is there twice`},
		{host("a.example.com") + "{}", "the arguments: something follows the object"},
		{`{"host":"a.example.com"}`, "justification is missing: the operator reads it"},
		{`{"host":"a.example.com","justification":" \n"}`, "justification is missing: the operator reads it"},
		{`{"host":"a.example.com","justification":"` + strings.Repeat("x", 2001) + `"}`, "justification has 2001 bytes, at most 2000 are allowed"},
		{"{\"host\":\"a.example.com\",\"justification\":\"\xff\"}", "the arguments: it is not UTF-8"},
		{`[]`, "the arguments: it is no JSON object"},
		{`null`, "the arguments: it is no JSON object"},
		{``, "the arguments: it is no JSON object"},
		{`{"host":`, "the arguments: it is no JSON: EOF"},
		{strings.Repeat(" ", 65537), "the arguments have 65537 bytes, at most 65536 are allowed"},
	} {
		if _, err := ask.ParseAllow([]byte(test.arguments), []string{"known.test"}); fmt.Sprint(err) != test.want {
			t.Errorf("%.80s: %v, want %s", test.arguments, err, test.want)
		}
	}
}

func TestOtherArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ tool, arguments, want string }{
		{"capability", `{"capability":"docker","justification":"x"}`, "<nil>"},
		{"capability", `{"capability":"","justification":"x"}`, "capability is missing: the operator reads it"},
		{"push", `{"remote":"app","branch":"bottle/x","justification":"x"}`, "<nil>"},
		{"push", `{"remote":"app","branch":"../x","justification":"x"}`, `branch "../x": write it as bottle/topic, in letters, digits and / - _ . + = ,`},
		{"push", `{"remote":"app","branch":"x","justification":""}`, "justification is missing: the operator reads it"},
		{"question", `{"tool":"egress-allow","arguments":{},"wait_ms":1}`, "<nil>"},
		{"question", `{"tool":"exec","arguments":{},"wait_ms":1}`, `there is no tool "exec"`},
		{"question", `{"tool":"egress-allow","arguments":{},"wait_ms":-1}`, "the question waits -1 ms"},
		{"question", `{"tool":"egress-allow","status":"approved"}`, `the question: unknown field "status"`},
	} {
		var err error
		switch test.tool {
		case "capability":
			_, err = ask.ParseCapability([]byte(test.arguments))
		case "push":
			_, err = ask.ParsePush([]byte(test.arguments))
		default:
			_, err = ask.ParseQuestion([]byte(test.arguments))
		}
		if fmt.Sprint(err) != test.want {
			t.Errorf("%s %s: %v, want %s", test.tool, test.arguments, err, test.want)
		}
	}
	if wait := (ask.Question{WaitMS: 1 << 62}).Wait(); wait != ask.MaxWait {
		t.Errorf("a long wait is %s", wait)
	}
}

// What passes is canonical: it passes again as it is, and its host is no address and public.
func FuzzParseAllow(f *testing.F) {
	f.Add([]byte(`{"host":"A.example.com","port":8443,"methods":["POST"],"paths":["/v1/"],"justification":"x"}`))
	f.Add([]byte(`{"host":"xn--bcher-kva.de","justification":"\u202e"}`))
	f.Add([]byte(`{"host":"127.0.0.1","host":"a.b","justification":"x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := ask.ParseAllow(raw, nil)
		if err != nil {
			return
		}
		again, err := ask.ParseAllow(ask.Marshal(first), nil)
		if err != nil || string(ask.Marshal(again)) != string(ask.Marshal(first)) {
			t.Fatalf("%s is not stable: %s, %v", ask.Marshal(first), ask.Marshal(again), err)
		}
		if !strings.Contains(first.Host, ".") || strings.ContainsAny(first.Host, ":/@[]% \x00") || strings.HasSuffix(first.Host, ".internal") {
			t.Fatalf("host %q", first.Host)
		}
	})
}

func FuzzParseQuestion(f *testing.F) {
	f.Add([]byte(`{"tool":"push-approval","arguments":{"remote":"app","branch":"b","justification":"x"},"wait_ms":30000}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := ask.ParseQuestion(raw)
		if err != nil {
			return
		}
		if q.Wait() < 0 || q.Wait() > ask.MaxWait {
			t.Fatalf("wait %s", q.Wait())
		}
		_, _ = ask.ParsePush(q.Arguments)
		_, _ = ask.ParseCapability(q.Arguments)
	})
}

func FuzzParsePublic(f *testing.F) {
	good, err := ask.Public{Identity: "demo-x7k2p", Routes: []ask.Route{{Host: "a.b", Port: 443, Mode: "plain"}}, Remotes: []ask.Remote{}}.Render()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		public, err := ask.ParsePublic(raw)
		if err != nil {
			return
		}
		if again, err := public.Render(); err != nil || string(again) != string(raw) {
			t.Fatalf("%q is read, but written as %q, %v", raw, again, err)
		}
	})
}
