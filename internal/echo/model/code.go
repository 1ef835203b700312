package model

import (
	"encoding/json"
	"fmt"
)

// Codex offers newer models one tool that runs JavaScript, which calls the others.
const (
	codeName     = "exec"
	codeArgument = "input"
	codeShell    = "exec_command(" // how the tool's description declares the shell
)

// shellCode runs a command to its end, however long that takes.
const shellCode = `// @exec: {"yield_time_ms": %d}
let r = await tools.exec_command({cmd: %s, yield_time_ms: %d});
let out = r.output;
while (r.exit_code === undefined && r.session_id !== undefined) {
  r = await tools.write_stdin({session_id: r.session_id, chars: "", yield_time_ms: %d});
  out += r.output;
}
text(out);
if (r.exit_code !== 0) text("exit code " + r.exit_code);
`

// toolCode finds a tool by the end of its name.
const toolCode = `const found = ALL_TOOLS.find((t) => t.name === %[1]s || t.name.endsWith(%[2]s));
if (found === undefined) {
  text("the agent offers no tool for it");
} else {
  const r = await tools[found.name]({});
  text(r.content ? r.content.map((c) => c.text).join("\n") : r);
}
`

// code is the program for a step. What is put into it is quoted as JSON, which JavaScript
// reads as a string.
func (s Step) code() string {
	if s.Shell != "" {
		return fmt.Sprintf(shellCode, patienceMillis, quote(s.Shell), yieldMillis, yieldMillis)
	}
	return fmt.Sprintf(toolCode, quote(plain(s.Tool)), quote("_"+plain(s.Tool)))
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""`
	}
	return string(quoted)
}
