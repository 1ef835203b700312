//go:build integration

package imagepack

import "io"

// LoadResult lets the tests outside read a real engine's answer.
func LoadResult(stream io.Reader) error { return loadResult(stream) }
