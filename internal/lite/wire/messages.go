package wire

// Op is what a request asks for.
type Op string

// The operations. The supervisor answers OpPing and OpStop of a client; everything
// else goes to the guest, which also knows OpBoot and OpStop from the supervisor.
const (
	OpBoot Op = "boot"
	OpPing Op = "ping"
	OpExec Op = "exec"
	OpPut  Op = "put"
	OpGet  Op = "get"
	OpStop Op = "stop"
)

// Request opens a conversation.
type Request struct {
	Op   Op    `json:"op"`
	Boot *Boot `json:"boot,omitempty"`
	Exec *Exec `json:"exec,omitempty"`
	File *File `json:"file,omitempty"`
}

// Boot configures the guest once, before anything else.
type Boot struct {
	Hostname string   `json:"hostname"`
	Argv     []string `json:"argv"` // the workload; empty boots bare
	Env      []string `json:"env"`  // of the image and the machine, for the workload and every exec
	Dir      string   `json:"dir"`
	Sockets  []string `json:"sockets"` // guest paths; the index is the name of a socket
	UnixNano int64    `json:"unix_nano"`
}

// Exec runs a command.
type Exec struct {
	Argv  []string `json:"argv"`
	Env   []string `json:"env"` // over the machine's
	Dir   string   `json:"dir"` // empty means the machine's
	Stdin bool     `json:"stdin"`
	TTY   bool     `json:"tty"`
	Rows  uint16   `json:"rows"`
	Cols  uint16   `json:"cols"`
}

// File is a file to put or get.
type File struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// Exit ends a conversation. Error is set when the operation itself failed.
type Exit struct {
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"`
}
