package echo_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/echo/model"
)

const modelRequest = `{"model":"m-1","messages":[{"role":"user","content":"a secret plan"}],"tools":[{"name":"Bash","input_schema":{"properties":{"command":{"type":"string"}}}}]}`

// TestModel: one name plays a model, for whoever brings the credential; the log says how
// each request went, and nothing of what was said. The others answer as ever.
func TestModel(t *testing.T) {
	t.Parallel()
	r := startBoot(t, func(boot *echo.Bootstrap) {
		boot.Model = &echo.Model{Host: "api.bottle.test", Script: model.Script{Steps: []model.Step{{Name: "work", Shell: "make"}}}}
	})
	client := r.client(t, true)
	const url = "https://api.bottle.test/v1/messages?beta=true"
	type line struct {
		Event, Path, Credential, API, Model, Step string
		Status                                    int
		BodyBytes                                 int `json:"body_bytes"`
	}
	for _, test := range []struct{ token, answer, credential, step string }{
		{"", "authentication_error", "none", "refused"},
		{"Bearer bottle-placeholder", "authentication_error", "another one", "refused"},
		{"Bearer " + token, `"input":{"command":"make"}`, "the real one", "work"},
	} {
		header := map[string]string{}
		if test.token != "" {
			header["Authorization"] = test.token
		}
		if body := get(t, client, "POST", url, header, modelRequest); !strings.Contains(body, test.answer) {
			t.Errorf("%q: %s", test.token, body)
		}
		var logged line
		r.line(t, &logged)
		if logged.Event != "model" || logged.Path != "/v1/messages" || logged.Credential != test.credential || logged.Step != test.step || logged.BodyBytes != len(modelRequest) {
			t.Errorf("%q: %s", test.token, r.last)
		}
		if strings.Contains(r.last, "secret") || strings.Contains(r.last, token) {
			t.Errorf("the log quotes a request: %s", r.last)
		}
	}
	// The last text has the count.
	done := strings.Replace(modelRequest, `"a secret plan"`, `[{"type":"tool_result","tool_use_id":"call_bottle_0","content":"ok"}]`, 1)
	body := get(t, client, "POST", url, map[string]string{"Authorization": "Bearer " + token}, done)
	if want := "credential: the real one in 2 requests, another or none in 2"; !strings.Contains(body, want) {
		t.Errorf("%s, want %q", body, want)
	}
	r.line(t, &line{})
	if body := get(t, client, "GET", "https://echo.bottle.test/v1/messages", nil, ""); !strings.HasPrefix(body, "hello from echo.bottle.test") {
		t.Error(body)
	}
}

// TestModelRefuses: a model that anybody may ask, or with a script of nothing, is not served.
func TestModelRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		model echo.Model
		want  string
	}{
		{echo.Model{Host: "echo.bottle.test"}, "its host has no credential"},
		{echo.Model{Host: "none.bottle.test"}, "its host has no certificate"},
		{echo.Model{Host: "api.bottle.test", Script: model.Script{Steps: []model.Step{{Name: "x"}}}}, "steps[0]: a name and either shell or tool are needed"},
	} {
		boot := bootstrap(t)
		boot.Model = &test.model
		input, err := boot.Stdin()
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		code := echo.Main(ctx, nil, bytes.NewReader(input), &stdout, &stderr)
		if want := "bundle echo: reading the bootstrap: model: " + test.want + "\n"; code != 1 || stderr.String() != want {
			t.Errorf("%d %q, want %q", code, stderr.String(), want)
		}
	}
}
