// Package sunpath knows how long the path of a unix socket may be. Every socket of ours obeys
// the shortest limit, so that what works on one system works on the others.
package sunpath

// Portable is the longest path that every system can hold.
const Portable = 103

// Max is the longest path that a system's sockaddr_un can hold, without the zero byte at its
// end. Systems that nobody tried get what all of them have.
func Max(goos string) int {
	if goos == "linux" {
		return 107
	}
	return Portable // sun_path has 104 bytes on macOS and the BSDs
}
