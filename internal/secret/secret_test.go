package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"bottle.internal/internal/secret"
)

func TestValuePrintsNowhere(t *testing.T) {
	t.Parallel()
	const token = "sk-very-secret"
	value := secret.New(token)
	holder := struct {
		Token  secret.Value
		Ptr    *secret.Value
		hidden secret.Value
	}{value, &value, value}

	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", value, "holder", holder)
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for name, printed := range map[string]string{
		"%v":   fmt.Sprintf("%v", holder),
		"%+v":  fmt.Sprintf("%+v", holder),
		"%#v":  fmt.Sprintf("%#v", value),
		"%s":   fmt.Sprintf("%s", value),
		"%q":   fmt.Sprintf("%q", value),
		"%x":   fmt.Sprintf("%x", value),
		"%d":   fmt.Sprintf("%d", value),
		"text": value.String(),
		"json": string(asJSON),
		"slog": log.String(),
	} {
		if strings.Contains(printed, token) || strings.Contains(printed, fmt.Sprintf("%x", token)) {
			t.Errorf("%s prints the secret: %s", name, printed)
		}
	}
	if value.Reveal() != token {
		t.Errorf("Reveal() = %q", value.Reveal())
	}
}
