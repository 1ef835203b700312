package smolvm

// The builders, for tests that compare whole command lines.

type Built struct{ Args, Env []string }

func built(call invocation, err error) (Built, error) { return Built{call.args, call.env}, err }

func VersionArgs() Built                                { b, _ := built(versionArgs(), nil); return b }
func ListArgs() Built                                   { b, _ := built(listArgs(), nil); return b }
func PackArgs(t Tool, o PackOptions) (Built, error)     { return built(packArgs(t, o)) }
func CreateArgs(t Tool, o CreateOptions) (Built, error) { return built(createArgs(t, o)) }
func StartArgs(name string) (Built, error)              { return built(startArgs(name)) }
func StopArgs(name string) (Built, error)               { return built(stopArgs(name)) }
func DeleteArgs(t Tool, name string) (Built, error)     { return built(deleteArgs(t, name)) }
func DataDirArgs(t Tool, name string) (Built, error)    { return built(dataDirArgs(t, name)) }
func StatusArgs(name string) (Built, error)             { return built(statusArgs(name)) }
func ExecArgs(o ExecOptions) (Built, error)             { return built(execArgs(o)) }
func CopyInArgs(name, local, guest string) (Built, error) {
	return built(copyInArgs(name, local, guest))
}

func CopyOutArgs(name, guest, local string) (Built, error) {
	return built(copyOutArgs(name, guest, local))
}

func ComponentsOf(t Tool, libDir string, m Machine) []Component { return components(t, libDir, m) }
func ParseBanner(out string) (Tool, error)                      { return parseBanner([]byte(out)) }
func DecodeMachine(data []byte) (Machine, error)                { return decodeMachine(data) }
func DecodeMachines(data []byte) ([]Machine, error)             { return decodeMachines(data) }
func ReadComplaint(stderr string) (text string, kind error)     { return readComplaint(stderr) }
func Clean(text string) string                                  { return clean(text) }
func CheckUsable(name string, v Version) error                  { return checkUsable(name, v) }
func MachineDead(m Machine) bool                                { return m.Dead() }

// ProcessAlive asks about a process found earlier; start "" stands for one found now.
func ProcessAlive(pid int, start string) bool {
	p := findProcess(pid)
	if start != "" {
		p.start = start
	}
	return p.alive()
}
