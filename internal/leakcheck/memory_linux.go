package leakcheck

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory searches the writable memory of a process and its children: of a machine's VMM,
// that of the guest. It needs the right to look there.
func (s *Search) Memory(place string, pid int, control string) Result {
	w := s.Writer(place, control)
	pids := append([]int{pid}, children(pid)...)
	var problem error
	for _, one := range pids {
		problem = errors.Join(problem, copyMemory(w, one))
	}
	return w.Result(problem)
}

// children are the direct ones, of every thread.
func children(pid int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var list []int
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

func copyMemory(w io.Writer, pid int) error {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer maps.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer memory.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		begin, end, ok := writable(lines.Text())
		if !ok {
			continue
		}
		copyRegion(w, memory, begin, end)
	}
	return lines.Err()
}

// page is the least that can be unreadable.
const page = 4096

// copyRegion goes on behind a page that cannot be read: it is a device's, or has just gone.
func copyRegion(w io.Writer, memory io.ReaderAt, begin, end int64) {
	buffer := make([]byte, 1<<20)
	for begin < end {
		n, err := memory.ReadAt(buffer[:min(end-begin, int64(len(buffer)))], begin)
		_, _ = w.Write(buffer[:n])
		if begin += int64(n); err != nil {
			begin = (begin/page + 1) * page
		}
	}
}

// writable reads a line of maps: "7f00-7f10 rw-p ...".
func writable(line string) (begin, end int64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || !strings.HasPrefix(fields[1], "rw") {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	begin, err1 := strconv.ParseInt(from, 16, 64)
	end, err2 := strconv.ParseInt(to, 16, 64)
	return begin, end, err1 == nil && err2 == nil && end > begin
}
