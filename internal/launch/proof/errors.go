package proof

import (
	"fmt"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/printable"
)

// NoProofError says that the guest found no way out in time, not even the one it has.
type NoProofError struct{ Err error }

func (e *NoProofError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *NoProofError) Unwrap() error { return e.Err }

// maxShown bounds what a message quotes of a guest's words, in bytes.
const maxShown = 200

// BoundaryError says which probe showed that the boundary does not hold.
type BoundaryError struct{ Result boundary.Result }

func (e *BoundaryError) Error() string {
	r := e.Result
	return fmt.Sprintf("the boundary does not hold: probe %q, expected %s: the guest says %q, %d connections came", r.Probe, r.Expected, printable.Escaped(r.Observed, maxShown), r.Hits)
}

// HintLines says where to look.
func (e *BoundaryError) HintLines() []string { return []string{"bottle doctor"} }
