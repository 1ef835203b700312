package control_test

import (
	"context"
	"errors"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/secret"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	inputs := make(chan control.Inputs, 2)
	inputs <- control.Inputs{"n": secret.New("1")}
	inputs <- control.Inputs{"n": secret.New("2")}
	close(inputs)
	got := ""
	err := control.Follow(t.Context(), inputs, func(next control.Inputs) { got += next["n"].Reveal() })
	if got != "12" || !errors.Is(err, control.ErrOrphaned) {
		t.Errorf("took %q, then %v", got, err)
	}
	// The end that was asked for is none that is complained about, in whatever order the two are seen.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if err := control.Follow(ctx, inputs, nil); err != nil {
			t.Fatalf("after ctx: %v", err)
		}
	}
}
