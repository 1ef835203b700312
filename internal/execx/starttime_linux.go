package execx

import (
	"fmt"
	"os"
	"strings"
)

// StartTime reads when a process started, in ticks since boot, and whether it is
// more than a zombie: with it a process is told from a later one of the same number. ok is
// false if that cannot be read.
func StartTime(pid int) (start string, alive, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, false
	}
	// The name in parentheses may contain anything: fields are counted after it.
	_, rest, _ := cutLast(string(stat), ") ")
	fields := strings.Fields(rest)
	const stateField, startField = 0, 19 // the 3rd and the 22nd of proc(5)
	if len(fields) <= startField {
		return "", false, false
	}
	return fields[startField], fields[stateField] != "Z" && fields[stateField] != "X", true
}

func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}
