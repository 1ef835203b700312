//go:build linux

package initd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
)

// The test binary plays init and its daemons too: no shell, no extra build.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "init":
		os.Exit(playInit())
	case "daemon":
		os.Exit(playDaemon(os.Args[1], os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func playInit() int {
	var config Config
	if err := json.Unmarshal([]byte(os.Getenv("INITD_TEST_CONFIG")), &config); err != nil {
		panic(err)
	}
	// PID 1 adopts orphans; so does a subreaper.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	config.Stdin, config.Stdout, config.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := Run(context.Background(), config); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED", err)
		return 1
	}
	return 0
}

func playDaemon(how string, args []string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT)
	fmt.Println("up")
	switch how {
	case "crash":
		return 7
	case "serve", "sick":
		go serveHTTP(args[0], how == "sick")
	case "inputs":
		go showInputs()
	case "ask":
		go askHost()
	case "whoami":
		status, err := os.ReadFile("/proc/self/status")
		caps := regexp.MustCompile(`CapEff:\s*(\S+)`).FindSubmatch(status)
		groups, _ := os.Getgroups()
		fmt.Printf("uid %d gid %d groups %v caps %s\n", os.Getuid(), os.Getgid(), groups, caps[1])
		if err != nil {
			panic(err)
		}
	case "middle":
		spawn("leaf", strconv.Itoa(os.Getpid()))
		return 0
	case "leaf":
		for args[0] == strconv.Itoa(os.Getppid()) {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("leaf", os.Getpid(), "of", os.Getppid())
		return 0
	case "parent":
		child, err := execx.Start(context.Background(), execx.Cmd{Path: os.Args[0], Args: []string{"stubborn"}, Env: os.Environ(), KeepGroup: true})
		fmt.Println("child", child.Pid(), err)
	case "orphan":
		spawn("middle")
	}
	for sig := range signals {
		fmt.Println("got", sig)
		if sig == syscall.SIGTERM && how != "stubborn" {
			return 0
		}
	}
	return 1
}

func spawn(args ...string) {
	if _, err := execx.StartDetached(execx.Cmd{Path: os.Args[0], Args: args, Env: os.Environ()}, os.Stdout); err != nil {
		panic(err)
	}
}

func serveHTTP(port string, sick bool) {
	cured := make(chan struct{})
	if sick {
		go func() {
			for inputs := range open().Inputs() {
				if !inputs["cure"].IsEmpty() {
					close(cured)
				}
			}
		}()
	}
	err := http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-cured:
			sick = false
		default:
		}
		if sick {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "daemon "+r.URL.Path)
	}))
	fmt.Println(err)
	os.Exit(1)
}

func open() *control.Daemon {
	channel, err := control.OpenDaemon()
	if err != nil {
		panic(err)
	}
	return channel
}

func showInputs() {
	for inputs := range open().Inputs() {
		text := "inputs:"
		for name, value := range inputs {
			text += " " + name + "=" + value.Reveal()
		}
		fmt.Println(text)
	}
}

func askHost() {
	var answer map[string]string
	err := open().Ask(context.Background(), "token", map[string]int{"n": 1}, &answer)
	fmt.Println("answer:", answer, err)
}
