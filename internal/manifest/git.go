package manifest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"bottle.internal/internal/names"
)

var (
	sshUserPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	gitPathPattern = regexp.MustCompile(`^(/[A-Za-z0-9_~+.-]+)+$`)
	branchPattern  = regexp.MustCompile(`^[A-Za-z0-9_+.*-]+(/([A-Za-z0-9_+.*-]+|<identity>))*$`)
	globPattern    = regexp.MustCompile(`^[A-Za-z0-9_+.*@ -]+(/[A-Za-z0-9_+.*@ -]+)*$`)
	mailPattern    = regexp.MustCompile(`^[^\s<>@]+@[^\s<>@]+$`)
)

// readRemote reads one [[bottles.X.git.remotes]].
func readRemote(t *table) (Remote, bool) {
	remote := Remote{at: t.place, head: t.place}
	problems := len(t.src.out.list)
	if name, ok := t.required("name", `name = "app"`); ok {
		if err := names.Validate(name); err != nil {
			t.bad("name", "%v", err)
		}
		remote.Name = name
		remote.at = t.at("name")
	}
	if upstream, ok := t.required("upstream", `upstream = "ssh://git@github.com/me/app.git"`); ok {
		var problem string
		if remote.Upstream, problem = parseUpstream(upstream); problem != "" {
			t.bad("upstream", "%s", problem)
		}
	}
	readRemoteKeys(t, &remote)
	remote.Private, remote.AllowPrivate = readPrivate(t)
	remote.Push = readPush(t.table("push"))
	t.done()
	return remote, len(t.src.out.list) == problems
}

// readRemoteKeys reads what a remote is reached with. Whether an upstream in .test may go
// without is known only with all the echo names, so checkEchoRemote asks again.
func readRemoteKeys(t *table, remote *Remote) {
	remote.IdentityFile, _ = t.text("identity_file")
	remote.KnownHostKey, _ = t.text("known_host_key")
	if !mayBeEcho(remote.Upstream.Host) {
		for _, key := range remoteKeys() {
			if !t.has(key.name) {
				t.place.bad("%s is missing: %s", key.name, key.what)
			}
		}
	}
	if remote.KnownHostKey == "" {
		return
	}
	if problem := checkHostKey(remote.KnownHostKey, remote.Upstream); problem != "" {
		t.bad("known_host_key", "%s", problem)
	}
}

type remoteKey struct {
	name, what string
	of         func(Remote) string
}

func remoteKeys() []remoteKey {
	return []remoteKey{
		{"identity_file", `identity_file = "~/.ssh/deploy_key"`, func(r Remote) string { return r.IdentityFile }},
		{"known_host_key", "without it nothing is forwarded; print it with: ssh-keyscan HOST", func(r Remote) string { return r.KnownHostKey }},
	}
}

// parseUpstream accepts ssh:// URLs only: that is what the git gate forwards over.
func parseUpstream(text string) (Upstream, string) {
	example := "write it as ssh://git@github.com/me/app.git"
	if !strings.HasPrefix(text, "ssh://") {
		return Upstream{}, fmt.Sprintf("%q is not an ssh:// URL; %s", text, example)
	}
	// Escapes are refused, so the parsed URL is what was written.
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.Contains(text, "%"):
		return Upstream{}, fmt.Sprintf("%q is not a valid URL; %s", text, example)
	case u.User == nil || !sshUserPattern.MatchString(u.User.Username()):
		return Upstream{}, fmt.Sprintf("%q names no user; %s", text, example)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Upstream{}, fmt.Sprintf("%q has a query or a fragment; %s", text, example)
	}
	if _, hasPassword := u.User.Password(); hasPassword {
		return Upstream{}, "the URL contains a password; use identity_file"
	}
	path := u.Path
	if !gitPathPattern.MatchString(path) || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") {
		return Upstream{}, fmt.Sprintf("%q is not a plain repository path; %s", path, example)
	}
	host, port, problem := parseHost(u.Host, 22)
	return Upstream{User: u.User.Username(), Host: host, Port: port, Path: path}, problem
}

// checkHostKey wants a line as known_hosts has it, for exactly the upstream's host.
func checkHostKey(line string, upstream Upstream) string {
	fields := strings.Fields(line)
	if len(fields) != 3 || strings.ContainsAny(line, "\r\n\x00") {
		return `must be "HOST TYPE KEY", one line as ssh-keyscan prints it`
	}
	want := upstream.Host
	if upstream.Port != 22 {
		want = fmt.Sprintf("[%s]:%d", upstream.Host, upstream.Port)
	}
	if upstream.Host != "" && fields[0] != want {
		return fmt.Sprintf("is for %q, but the upstream's host is %q", fields[0], want)
	}
	types := []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}
	if !slices.Contains(types, fields[1]) {
		return fmt.Sprintf("unknown key type %q; known: %s", fields[1], strings.Join(types, ", "))
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(blob) < 4 {
		return "the key is cut off or not base64"
	}
	n := uint64(binary.BigEndian.Uint32(blob))
	if n > uint64(len(blob)-4) || string(blob[4:4+n]) != fields[1] || uint64(len(blob)) < 4+n+32 {
		return fmt.Sprintf("the key is cut off or not of type %s", fields[1])
	}
	return ""
}

func readPush(t *table) Push {
	if t == nil {
		return Push{}
	}
	push := Push{Approve: t.flag("approve")}
	push.Branches = t.texts("branches", `["bottle/*"]`, func(at place, text string) (string, bool) {
		bad := !branchPattern.MatchString(text) || strings.Contains(text, "..") || strings.Contains(text, "/.") ||
			text[0] == '.' || text[0] == '-' || strings.HasSuffix(text, ".lock") || strings.HasSuffix(text, ".")
		if bad || strings.HasPrefix(text, "refs/") {
			at.bad(`%q is not a branch pattern such as "bottle/*" or "bottle/<identity>/*"`, text)
			return "", false
		}
		return text, true
	})
	push.Protect = t.texts("protect", `[".github/workflows/**"]`, func(at place, text string) (string, bool) {
		if !globPattern.MatchString(text) || strings.Contains("/"+text+"/", "/../") || strings.Contains("/"+text+"/", "/./") {
			at.bad(`%q is not a path pattern such as ".github/workflows/**"`, text)
			return "", false
		}
		return text, true
	})
	t.done()
	return push
}

// readGitUser reads [bottles.X.git.user]; inherited halves are joined later.
func readGitUser(t *table) *GitUser {
	if t == nil {
		return nil
	}
	user := &GitUser{}
	user.Name, _ = t.text("name")
	if strings.ContainsAny(user.Name, "<>") || strings.ContainsFunc(user.Name, unicode.IsControl) {
		t.bad("name", "must be one line without < and >")
	}
	user.Email, _ = t.text("email")
	if user.Email != "" && (!mailPattern.MatchString(user.Email) || strings.ContainsFunc(user.Email, unicode.IsControl)) {
		t.bad("email", "%q is not an address such as \"agent@example.com\"", user.Email)
	}
	t.done()
	return user
}
