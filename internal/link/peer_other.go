//go:build unix && !linux && !darwin

package link

import "os"

// peerUIDOf trusts the socket's mode where the kernel is not asked.
func peerUIDOf(int) (int, error) { return os.Geteuid(), nil }
