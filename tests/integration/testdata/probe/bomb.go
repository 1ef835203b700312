package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// hold opens connections until no more can be had, and keeps them without a word.
func hold(args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	seconds, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	network := "tcp"
	if filepath.IsAbs(args[0]) {
		network = "unix"
	}
	var held []net.Conn
	for len(held) < count && time.Now().Before(end) {
		conn, err := net.DialTimeout(network, args[0], time.Second)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		held = append(held, conn)
		if len(held)%100 == 0 || len(held) == count {
			fmt.Printf("holding %d\n", len(held))
		}
	}
	time.Sleep(time.Until(end))
	fmt.Printf("held %d\n", len(held))
	return nil
}

// bomb takes what there is until the time is over.
func bomb(args []string) error {
	seconds, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	switch args[0] {
	case "fork":
		return fork(end)
	case "memory":
		return memory(end)
	default:
		return disk(end)
	}
}

// fork makes one of itself after the other, and each of them does the same. All of them end
// at the time of the first.
func fork(end time.Time) error {
	const variable = "BOMB_END"
	if text := os.Getenv(variable); text != "" {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		end = time.Unix(at, 0)
	}
	for time.Now().Before(end) {
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, end.Unix()))
		if child.Start() == nil {
			go func() { _ = child.Wait() }()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// memory has a child touch every page that it gets, until it is killed for it or the time
// is over: a machine without memory may take very long to kill.
func memory(end time.Time) error {
	const variable = "BOMB_MEMORY"
	if os.Getenv(variable) != "" {
		return takeMemory()
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), variable+"=1")
	said, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	// A machine without memory may never come to the last line.
	for lines := bufio.NewScanner(said); lines.Scan(); {
		fmt.Printf("went off: %s MiB\n", lines.Text())
	}
	fmt.Println("went off, then", child.Wait())
	return nil
}

// takeMemory says after each step how many MiB it has.
func takeMemory() error {
	// It is the one to be killed, so that the machine lives.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o600)
	const step = 16
	for taken := step; ; taken += step {
		block, err := unix.Mmap(-1, 0, step<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return err
		}
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		fmt.Println(taken)
	}
}

// disk takes all blocks but the last ones, writes those with bytes that nothing can leave
// out until there is no place, and leaves all of it.
func disk(end time.Time) error {
	file, err := os.Create("/var/tmp/bomb")
	if err != nil {
		return err
	}
	defer file.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
		return err
	}
	taken := int64(0)
	if free := int64(fs.Bavail) * fs.Bsize; free > 64<<20 {
		taken = free - 64<<20
	}
	if err := unix.Fallocate(int(file.Fd()), 0, 0, taken); err != nil {
		taken = 0
	}
	if _, err := file.Seek(taken, 0); err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	_, _ = newPattern(7).Read(block)
	written := taken
	for time.Now().Before(end) {
		n, err := file.Write(block)
		written += int64(n)
		if err != nil {
			fmt.Printf("went off: %v after %d MiB\n", why(err), written>>20)
			return nil
		}
	}
	return nil
}
