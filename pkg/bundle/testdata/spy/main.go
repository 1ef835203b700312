// Command spy tells what its user can see of the processes and directories around it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var lines []string
	for _, dir := range dirs {
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue
		}
		words := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		name := filepath.Base(words[0])
		if name == "bundle" && len(words) > 1 {
			name += " " + words[1]
		}
		status, _ := os.ReadFile(dir + "/status")
		caps := regexp.MustCompile(`CapEff:\s*(\S+)`).FindSubmatch(status)
		_, fd := os.ReadDir(dir + "/fd")
		lines = append(lines, fmt.Sprintf("%s: environ %s, mem %s, fd %s, caps %s", name, open(dir+"/environ"), open(dir+"/mem"), said(fd), caps[1]))
	}
	slices.Sort(lines)
	for _, dir := range os.Args[1:] {
		_, err := os.ReadDir(dir)
		lines = append(lines, dir+": "+said(err))
	}
	fmt.Println(strings.Join(lines, "\n"))
}

func open(path string) string {
	file, err := os.Open(path)
	if err == nil {
		// Reading decides: some files of /proc can be opened by everybody.
		_, err = file.Read(make([]byte, 1))
		if strings.HasSuffix(path, "/mem") && !os.IsPermission(err) {
			err = nil // address 0 is not mapped; what counts is that it may be asked for
		}
		file.Close()
	}
	return said(err)
}

func said(err error) string {
	if err != nil {
		return "denied"
	}
	return "open"
}
