package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxEnvSize bounds the environment as bottle-guest reads it, in bytes of JSON.
const MaxEnvSize = 1 << 20

// Variable is one variable of the agent's environment. Value is shown by neither fmt
// nor JSON.
type Variable struct {
	Name  string
	Value []byte `json:"-"`
}

// Format implements [fmt.Formatter].
func (v Variable) Format(state fmt.State, _ rune) { fmt.Fprint(state, v.Name) }

func renderProgram(in Input) (step, error) {
	if len(in.Program) == 0 {
		return step{}, nil
	}
	return step{files: []File{{Path: program, Mode: 0o755, Data: in.Program}}}, nil
}

func renderPrompt(in Input) (step, error) {
	s := step{files: []File{agentFile(orDefault(in.Prompt.Path, ".bottle/prompt.md"), in.Prompt.Text)}}
	for _, setting := range in.Settings {
		s.files = append(s.files, agentFile(setting.Path, setting.Data))
	}
	return s, nil
}

// renderSupervise is the seam for the MCP server: one file that programs are pointed to.
func renderSupervise(in Input) (step, error) {
	if in.Supervise == "" {
		return step{remove: []string{mcpFile}}, nil
	}
	type server struct {
		Type string `json:"type"`
		URL  string `json:"url"`
	}
	data, err := json.MarshalIndent(map[string]map[string]server{
		"mcpServers": {"bottle": {Type: "http", URL: in.Supervise}},
	}, "", "  ")
	if err != nil {
		return step{}, err
	}
	return step{files: []File{agentFile(mcpFile, append(data, '\n'))}}, nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// renderEnv writes the file that only root can read; bottle-guest hands the values to
// the commands it starts. Errors name variables and show no value.
func renderEnv(in Input) (step, error) {
	values := map[string]string{}
	for _, variable := range in.Env {
		_, twice := values[variable.Name]
		switch {
		case !envName.MatchString(variable.Name):
			return step{}, fmt.Errorf("%.60q is no name of a variable", variable.Name)
		case twice:
			return step{}, fmt.Errorf("%s is there twice", variable.Name)
		case !utf8.Valid(variable.Value), bytes.IndexByte(variable.Value, 0) >= 0:
			return step{}, fmt.Errorf("the value of %s is not UTF-8 text without NUL", variable.Name)
		}
		values[variable.Name] = string(variable.Value)
	}
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(values); err != nil {
		return step{}, errors.New("the environment cannot be encoded")
	}
	if data.Len() > MaxEnvSize {
		return step{}, fmt.Errorf("the environment has %d bytes, at most %d are possible", data.Len(), MaxEnvSize)
	}
	return step{files: []File{{Path: envFile, Mode: 0o600, Data: data.Bytes()}}}, nil
}

// renderWorkdir makes the home and the working directory. One outside of the home that
// exists, such as /tmp, keeps its owner and mode.
func renderWorkdir(in Input) (step, error) {
	s := step{files: []File{agentDir(agentHome)}}
	workdir := orDefault(in.Workdir, "work")
	switch {
	case isAgents(workdir):
		s.files = append(s.files, agentDir(workdir))
	case workdir != agentHome:
		s.workdir = workdir
		return s, checkPath(workdir)
	}
	return s, nil
}

func agentDir(name string) File {
	return File{Path: name, Mode: fs.ModeDir | 0o755, UID: agentOwner, GID: agentOwner}
}

// Git is the agent's git configuration.
type Git struct {
	Name, Email string // of the author; both or none
	Remotes     []Remote
}

// Remote sends every use of a repository to the git gate.
type Remote struct {
	Upstream string // as the repository is known: ssh://git@host/path
	Gate     string // as the guest reaches it: http://127.0.0.1:9420/name.git
}

// renderGit writes the system's configuration, so that what the agent configures in
// its home is neither lost nor able to collide with ours.
func renderGit(in Input) (step, error) {
	var config strings.Builder
	quoted := func(key, value string) error {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%s %.60q has a control character", key, value)
		}
		fmt.Fprintf(&config, "\t%s = \"%s\"\n", key, gitEscape(value))
		return nil
	}
	if in.Git.Name != "" || in.Git.Email != "" {
		config.WriteString("[user]\n")
		if err := errors.Join(quoted("name", in.Git.Name), quoted("email", in.Git.Email)); err != nil {
			return step{}, err
		}
	}
	for _, remote := range in.Git.Remotes {
		if strings.ContainsAny(remote.Gate, "\n\x00") || remote.Gate == "" || remote.Upstream == "" {
			return step{}, fmt.Errorf("remote %.60q at %.60q: want two URLs", remote.Upstream, remote.Gate)
		}
		fmt.Fprintf(&config, "[url \"%s\"]\n", gitEscape(remote.Gate))
		for _, spelling := range spellings(remote.Upstream) {
			if err := quoted("insteadOf", spelling); err != nil {
				return step{}, err
			}
		}
	}
	if config.Len() == 0 {
		return step{}, nil
	}
	return step{files: []File{{Path: gitConfig, Mode: 0o644, Data: []byte(config.String())}}}, nil
}

func gitEscape(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
}

var sshURL = regexp.MustCompile(`^ssh://((?:[^@/]+@)?[^:/\[\]]+)/([^/].*)$`)

// spellings adds the short form that people paste: git@host:path.
func spellings(upstream string) []string {
	all := []string{upstream}
	if parts := sshURL.FindStringSubmatch(upstream); parts != nil {
		all = append(all, parts[1]+":"+path.Clean(parts[2]))
	}
	return all
}
