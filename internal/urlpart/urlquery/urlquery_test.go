package urlquery_test

import (
	"net/url"
	"testing"

	"bottle.internal/internal/urlpart/urlquery"
)

func TestCredential(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                        "",
		"a=b&limit=10&cursor=x":   "",
		"keyword=x&author=y":      "",
		"api_key=x":               "api_key",
		"a=b&API-Key=x":           "API-Key",
		"a=b;token=x":             "token",
		"access%5Ftoken=x":        "access_token",
		"X-Amz-Signature=x":       "X-Amz-Signature",
		"x-goog-credential=x":     "x-goog-credential",
		"client_secret":           "client_secret",
		"%zz=x":                   "%zz",
		"a=token":                 "",
		"password=&b=c":           "password",
		"q=1&sig=abc&password=de": "sig",
	} {
		name, found := urlquery.Credential(query)
		if name != want || found != (want != "") {
			t.Errorf("%q: %q, %v", query, name, found)
		}
	}
}

// A name that another reader takes for a credential's is found however it is escaped.
func FuzzCredential(f *testing.F) {
	f.Add("a=b&token=c")
	f.Add("%74oken=c")
	f.Fuzz(func(t *testing.T, query string) {
		_, found := urlquery.Credential(query)
		values, err := url.ParseQuery(query)
		if err == nil && (values.Has("token") || values.Has("api_key")) && !found {
			t.Errorf("%q passes", query)
		}
	})
}
