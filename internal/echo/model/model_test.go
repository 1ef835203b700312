package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/echo/model"
	"bottle.internal/tests/golden"
)

func script() model.Script {
	return model.Script{Steps: []model.Step{
		{Name: "write and push", Shell: `echo "it's" >hello.txt && pwd`},
		{Name: "ask", Tool: "list-egress-routes"},
	}}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pathOf(name string) string {
	if strings.HasPrefix(name, "codex") {
		return "/v1/responses"
	}
	return "/v1/messages"
}

// TestRecorded plays what the pinned programs really sent, shortened: each finds its next
// step by the results in the request, and a request for a title gets no step. The goldens
// are the whole answers.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, step string }{
		{"claude-1", "write and push"},
		{"claude-2", "ask"},
		{"claude-3", "end"},
		{"codex-1", "write and push"},
		{"codex-2", "ask"},
		{"codex-3", "end"},
		{"codex-title", "side"},
		{"opencode-title", "side"},
		{"opencode-1", "write and push"},
		{"opencode-2", "ask"},
		{"opencode-3", "end"},
	} {
		request := model.Request{Method: "POST", Path: pathOf(test.name), Body: read(t, test.name+".json"), Authorized: true, Witness: "seen"}
		answer := script().Answer(request)
		if answer.Status != 200 || answer.Step != test.step || answer.ContentType != "text/event-stream" || answer.Model == "" {
			t.Errorf("%s: %d %q %q %q, want step %q", test.name, answer.Status, answer.Step, answer.ContentType, answer.Model, test.step)
		}
		golden.Check(t, "testdata/golden/"+test.name+".events", answer.Body)
		if again := script().Answer(request); !bytes.Equal(again.Body, answer.Body) {
			t.Errorf("%s: the second answer differs", test.name)
		}
		// Whole answers say the same.
		request.Body = bytes.Replace(request.Body, []byte(`"stream": true`), []byte(`"stream": false`), 1)
		whole := script().Answer(request)
		if whole.Step != test.step || whole.ContentType != "application/json" || !json.Valid(whole.Body) {
			t.Errorf("%s, not streamed: %+v", test.name, whole)
		}
		golden.Check(t, "testdata/golden/"+test.name+".whole.json", whole.Body)
	}
}

// TestCredential: without the expected credential no request gets anything but 401, in the
// form of its API.
func TestCredential(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"claude-1": `{"error":{"message":"the credential is not the one that is expected here","type":"authentication_error"},"type":"error"}`,
		"codex-1":  `{"error":{"code":null,"message":"the credential is not the one that is expected here","param":null,"type":"authentication_error"}}`,
	} {
		answer := script().Answer(model.Request{Method: "POST", Path: pathOf(name), Body: read(t, name+".json")})
		if answer.Status != http.StatusUnauthorized || strings.TrimSpace(string(answer.Body)) != want {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	for _, path := range []string{"/v1/models", "/v1/messages/count_tokens"} {
		if answer := script().Answer(model.Request{Method: "POST", Path: path, Body: []byte("{}")}); answer.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, answer.Status)
		}
	}
}

// TestAround are the requests beside the conversation.
func TestAround(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, path, body string
		status             int
		step, want         string
	}{
		{"POST", "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, 200, "count", `{"input_tokens":14}`},
		{"GET", "/v1/models", "", 200, "models", `"id":"scripted"`},
		{"POST", "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"quota"}]}`, 200, "side", `"text":"A scripted task"`},
		{
			"POST", "/v1/messages", `{"messages":[],"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"title":{"type":"string"},"n":{"type":["integer","null"]},"on":{"type":"boolean"},"list":{"type":"array"},"word":{"enum":["a","b"]}}}}}}`,
			200, "side", `"text":"{\"list\":[],\"n\":0,\"on\":false,\"title\":\"A scripted task\",\"word\":\"a\"}"`,
		},
		{"POST", "/v1/responses", `{"input":"hi"}`, 200, "side", `"text":"A scripted task"`},
		{"GET", "/v1/messages", "", 405, "refused", "only POST"},
		{"POST", "/v1/messages", "{", 400, "refused", "the body is no request of the messages API"},
		{"POST", "/v1/messages", "{}", 400, "refused", "the body is no request of the messages API"},
		{"POST", "/v1/responses", "[]", 400, "refused", "the body is no request of the responses API"},
		{"POST", "/v1/complete", "{}", 404, "refused", "the script of this model has no such path"},
	} {
		answer := script().Answer(model.Request{Method: test.method, Path: test.path, Body: []byte(test.body), Authorized: true})
		if answer.Status != test.status || answer.Step != test.step || !strings.Contains(string(answer.Body), test.want) {
			t.Errorf("%s %s: %d %q %s", test.path, test.body, answer.Status, answer.Step, answer.Body)
		}
	}
}

// TestShells: the command goes where each kind of shell tool wants it.
func TestShells(t *testing.T) {
	t.Parallel()
	command := `"echo \"it's\" \u003ehello.txt \u0026\u0026 pwd"`
	for _, test := range []struct{ tool, want string }{
		{`{"type":"function","name":"shell","parameters":{"properties":{"command":{"type":"array"},"timeout_ms":{}}}}`, `{"command":["bash","-c",` + command + `],"timeout_ms":120000}`},
		{`{"type":"function","name":"shell_command","parameters":{"properties":{"command":{"type":"string"}}}}`, `{"command":` + command + `}`},
		{`{"type":"function","name":"exec_command","parameters":{"properties":{"cmd":{"type":"string"},"yield_time_ms":{}}}}`, `{"cmd":` + command + `,"yield_time_ms":30000}`},
		{`{"type":"namespace","name":"functions","tools":[{"type":"function","name":"Bash","parameters":{"properties":{"command":{}}}}]}`, `"namespace":"functions"`},
		{`{"type":"local_shell"}`, `"action":{"command":["bash","-c",` + command + `]`},
	} {
		body := fmt.Sprintf(`{"input":[],"tools":[%s]}`, test.tool)
		answer := script().Answer(model.Request{Method: "POST", Path: "/v1/responses", Body: []byte(body), Authorized: true})
		var out struct{ Output []json.RawMessage }
		if err := json.Unmarshal(answer.Body, &out); err != nil || len(out.Output) != 1 {
			t.Fatalf("%v %s", err, answer.Body)
		}
		got := string(out.Output[0])
		var call struct{ Arguments string }
		if json.Unmarshal(out.Output[0], &call) == nil && call.Arguments != "" {
			got += call.Arguments
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.tool, got, test.want)
		}
	}
	// A tool of the name without a place for a command is no shell.
	answer := script().Answer(model.Request{
		Method: "POST", Path: "/v1/responses", Authorized: true,
		Body: []byte(`{"input":[],"tools":[{"type":"function","name":"shell","parameters":{}}]}`),
	})
	if answer.Step != "side" {
		t.Error(answer.Step)
	}
}

// TestReport: the last text says what failed and what could not be done.
func TestReport(t *testing.T) {
	t.Parallel()
	body := `{"messages":[{"role":"user","content":[
		{"type":"tool_result","tool_use_id":"call_bottle_0","is_error":true,"content":[{"type":"text","text":"fatal:\n  no"}]},
		{"type":"tool_result","tool_use_id":"call_bottle_99","content":"x"}, {"type":"tool_result","tool_use_id":"another","content":"x"}]}],
		"tools":[{"name":"Bash","input_schema":{"properties":{"command":{"type":"string"}}}}]}`
	answer := script().Answer(model.Request{Method: "POST", Path: "/v1/messages", Body: []byte(body), Authorized: true, Witness: "3 seen"})
	var out struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(answer.Body, &out); err != nil {
		t.Fatal(err)
	}
	want := "The script is over. This is what I saw.\n- write and push: FAILED: fatal: no\n" +
		"- ask: NOT DONE, the agent offers no tool for it\n- 3 seen\n"
	if got := out.Content[0].Text; got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	many := model.Script{Steps: make([]model.Step, 17)}
	for _, test := range []struct {
		script model.Script
		want   string
	}{
		{script(), ""},
		{many, "17 steps, at most 16 are possible"},
		{model.Script{Steps: []model.Step{{Name: "a"}}}, "steps[0]: a name and either shell or tool are needed"},
		{model.Script{Steps: []model.Step{{Shell: "a"}}}, "steps[0]: a name and either shell or tool are needed"},
		{model.Script{Steps: []model.Step{{Name: "a", Shell: "b", Tool: "c"}}}, "steps[0]: a name and either shell or tool are needed"},
	} {
		if err := test.script.Check(); (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// FuzzAnswer: whatever an agent sends, the answer is in the API's form, and a step is only
// ever one of the script's with its own command.
func FuzzAnswer(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		f.Add(pathOf(filepath.Base(file)), read(f, filepath.Base(file)))
	}
	f.Add("/v1/messages/count_tokens", []byte(`{"messages":[]}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		answer := script().Answer(model.Request{Method: "POST", Path: path, Body: body, Authorized: true})
		switch answer.Step {
		case "write and push", "ask", "end", "side", "count", "models", "refused":
		default:
			t.Fatalf("step %q", answer.Step)
		}
		if answer.ContentType == "application/json" {
			if !json.Valid(answer.Body) {
				t.Fatalf("%q is not JSON", answer.Body)
			}
			return
		}
		for event := range strings.SplitSeq(strings.TrimSuffix(string(answer.Body), "\n\n"), "\n\n") {
			head, data, ok := strings.Cut(event, "\ndata: ")
			if !ok || !strings.HasPrefix(head, "event: ") || !json.Valid([]byte(data)) {
				t.Fatalf("%q is no event", event)
			}
		}
		if answer.Step == "write and push" && !bytes.Contains(answer.Body, []byte("hello.txt")) {
			t.Fatalf("another command: %s", answer.Body)
		}
	})
}
