package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
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
		return fork(end, args)
	case "memory":
		return memory(end)
	default:
		return disk(end)
	}
}

// fork makes two of itself again and again. All of them end with the time.
func fork(end time.Time, args []string) error {
	made, refused := 0, 0
	for time.Now().Before(end) {
		left := max(1, int(time.Until(end).Seconds()))
		child := exec.Command(os.Args[0], "bomb", args[0], strconv.Itoa(left))
		if err := child.Start(); err != nil {
			refused++
			time.Sleep(time.Millisecond)
			continue
		}
		made++
		go func() { _ = child.Wait() }()
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Printf("made %d processes, could not make %d\n", made, refused)
	return nil
}

// memory touches every page. A process that is killed for it is begun again.
func memory(end time.Time) error {
	if os.Getenv("BOMB") == "" {
		killed := 0
		for time.Now().Before(end) {
			child := exec.Command(os.Args[0], "bomb", "memory", strconv.Itoa(max(1, int(time.Until(end).Seconds()))))
			child.Env = append(os.Environ(), "BOMB=1")
			if child.Run() != nil {
				killed++
			}
		}
		fmt.Printf("killed %d times\n", killed)
		return nil
	}
	// It is the one to be killed, so that the machine lives to take more.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o600)
	var all [][]byte
	for time.Now().Before(end) {
		block := make([]byte, 4<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = byte(i >> 12)
		}
		all = append(all, block)
	}
	fmt.Println(len(all))
	return nil
}

// disk writes bytes that nothing can leave out until there is no place, and leaves them.
func disk(end time.Time) error {
	file, err := os.Create("/var/tmp/bomb")
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	_, _ = newPattern(7).Read(block)
	written := 0
	for time.Now().Before(end) {
		n, err := file.Write(block)
		written += n
		if err != nil {
			fmt.Printf("wrote %d MiB, then: %v\n", written>>20, why(err))
			return file.Close()
		}
	}
	fmt.Printf("wrote %d MiB in the time\n", written>>20)
	return file.Close()
}
