package manifest_test

import "testing"

// TestModel: a name plays a model only where its credential is asked for.
func TestModel(t *testing.T) {
	t.Parallel()
	route := "[[bottles.a.egress.routes]]\nhost = \"m.test\"\naddress = \"private\"\nmethods = [\"POST\"]\npaths = [\"/v1/\"]\n"
	auth := "auth = { header = \"X-Key\", token = \"env:K\" }\n"
	for _, test := range []struct {
		name, toml string
		want       []string
	}{
		{"whole", "[bottles.a]\necho = [\"m.test\"]\nmodel = \"M.test\"\n" + route + auth, nil},
		{"inherited", "[bottles.a]\necho = [\"m.test\"]\nmodel = \"m.test\"\n" + route + auth + "[bottles.b]\nextends = \"a\"\n", nil},
		{
			"not an echo name", "[bottles.a]\necho = [\"x.test\"]\nmodel = \"api.anthropic.com\"\n",
			[]string{`3: bottles.a.model: "api.anthropic.com" is not one of the bottle's echo names; only those can play a model`},
		},
		{
			"no route", "[bottles.a]\necho = [\"m.test\"]\nmodel = \"m.test\"\n",
			[]string{`3: bottles.a.model: m.test plays a model, so it needs a route with methods = ["GET", "POST"], paths = ["/v1/"] and auth`},
		},
		{
			"no auth", "[bottles.a]\necho = [\"m.test\"]\nmodel = \"m.test\"\n" + route,
			[]string{`3: bottles.a.model: m.test plays a model, so it needs a route with methods = ["GET", "POST"], paths = ["/v1/"] and auth`},
		},
		{
			"the child takes the name away", "[bottles.a]\necho = [\"m.test\"]\nmodel = \"m.test\"\n" + route + auth + "[bottles.b]\nextends = \"a\"\necho = []\negress = { routes = [] }\n",
			[]string{`10: bottles.b: "m.test" is not one of the bottle's echo names; only those can play a model`},
		},
		{"wrong type", "[bottles.a]\nmodel = true\n", []string{`2: bottles.a.model: must be a string, not true or false`}},
	} {
		_, err := load(test.toml)
		compare(t, test.name, err, test.want)
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, want string }{
		{"https://gateway.example.com/v1/", ""},
		{"https://gateway.example.com:8443", ""},
		{"http://gateway.example.com", `"http://gateway.example.com" is no https URL; write it as "https://gateway.example.com/v1"`},
		{"gateway.example.com", `"gateway.example.com" is no https URL; write it as "https://gateway.example.com/v1"`},
		{"https://me:pw@gateway.example.com", `it holds a user or a password, and the agent reads it; give the credential to the route's auth`},
		{"https://gateway.example.com/v1?k=v", `"https://gateway.example.com/v1?k=v" has more than a host and a path; write it as "https://gateway.example.com/v1"`},
		{"https://10.0.0.1/", `"10.0.0.1" is an address; routes name hosts`},
		{"https://gateway.example.com/a/../b", `"/a/../b" contains a ".." segment`},
		{"https://gateway.example.com/a%2fb", `"/a%2fb" contains "%"; a prefix is plain text without escapes, wildcards or a query`},
		{"https://gateway.example.com/$(id)\\u0022", `"/$%28id%29%22" contains "%"; a prefix is plain text without escapes, wildcards or a query`},
	} {
		_, err := load("[bottles.a]\n[agents.b]\nbottle = \"a\"\ntemplate = \"claude\"\nbase_url = \"" + test.url + "\"\n")
		want := []string{`5: agents.b.base_url: ` + test.want}
		if test.want == "" {
			want = nil
		}
		compare(t, test.url, err, want)
	}
}
