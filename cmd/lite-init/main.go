//go:build linux

// Command lite-init is PID 1 of a machine of smolvm-lite. It is built static and put
// into the initramfs by smolvm-lite.
package main

import (
	"context"
	"fmt"
	"os"

	"bottle.internal/internal/lite/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "lite-init: this is the first process of a smolvm-lite machine and nothing else")
		os.Exit(2)
	}
	err := guest.Init(context.Background())
	// The end of PID 1 panics the kernel, and the supervisor's QEMU ends with it.
	fmt.Println("lite-init:", err)
	os.Exit(1)
}
