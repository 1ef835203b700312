package imagebuild

import (
	"fmt"
	"strconv"
	"strings"

	"bottle.internal/internal/imagebuild/layer"
)

const (
	passwdFile = "etc/passwd"
	groupFile  = "etc/group"
	shadowFile = "etc/shadow"
	// passwordDay is the day of the last password change: day 0 would mean expired.
	passwordDay = 20454
)

func accountFiles() []string { return []string{passwdFile, groupFile, shadowFile} }

// defaultAccounts are the account files of a base that has none.
func defaultAccounts() map[string]baseFile {
	return map[string]baseFile{
		passwdFile: {Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/bin/sh\n")},
		groupFile:  {Mode: 0o644, Content: []byte("root:x:0:\n")},
		shadowFile: {Mode: 0o600, Content: fmt.Appendf(nil, "root:*:%d:0:99999:7:::\n", passwordDay)},
	}
}

// accountEntries are the account files of the base with the recipe's users in them,
// the users' homes, and the recipe's directories.
func accountEntries(recipe *Recipe, files map[string]baseFile) []layer.Entry {
	lines := map[string][]string{}
	for _, user := range recipe.Users {
		lines[passwdFile] = append(lines[passwdFile], fmt.Sprintf("%s:x:%d:%d::%s:%s", user.Name, user.UID, user.GID, user.Home, user.Shell))
		lines[groupFile] = append(lines[groupFile], fmt.Sprintf("%s:x:%d:", user.Name, user.GID))
		lines[shadowFile] = append(lines[shadowFile], fmt.Sprintf("%s:*:%d:0:99999:7:::", user.Name, passwordDay))
	}
	var entries []layer.Entry
	fallback := defaultAccounts()
	for _, name := range accountFiles() {
		file, ok := files[name]
		if !ok {
			file = fallback[name]
		}
		content := withAccounts(string(file.Content), lines[name])
		entry := layer.File(name, file.Mode, []byte(content))
		entry.UID, entry.GID = file.UID, file.GID
		entries = append(entries, entry)
	}
	for _, user := range recipe.Users {
		if user.Home != "/" && user.Home != "/nonexistent" && !recipe.hasDir(user.Home) {
			home := layer.Dir(user.Home[1:], 0o755)
			home.UID, home.GID = user.UID, user.GID
			entries = append(entries, home)
		}
	}
	return append(entries, directories(recipe)...)
}

// hasDir lets a [[directory]] say how a home looks.
func (r *Recipe) hasDir(name string) bool {
	for _, dir := range r.Dirs {
		if dir.Path == name {
			return true
		}
	}
	return false
}

func directories(recipe *Recipe) []layer.Entry {
	var entries []layer.Entry
	for _, dir := range recipe.Dirs {
		owner, _ := recipe.owner(dir.Owner)
		entry := layer.Dir(dir.Path[1:], dir.Mode)
		entry.UID, entry.GID = owner.UID, owner.GID
		entries = append(entries, entry)
	}
	return entries
}

// withAccounts adds lines and takes out the old ones of the same name or number: an
// image of Ubuntu has uid 1000 already, and the recipe's word counts.
func withAccounts(text string, add []string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && !replaced(line, add) {
			out.WriteString(line + "\n")
		}
	}
	for _, line := range add {
		out.WriteString(line + "\n")
	}
	return out.String()
}

// replaced compares names, and the third field where it is a uid or gid. In shadow the
// third field is a day, which is the same for all.
func replaced(line string, add []string) bool {
	old := strings.Split(line, ":")
	for _, one := range add {
		fields := strings.Split(one, ":")
		sameNumber := len(old) > 2 && old[1] == "x" && old[2] == fields[2] && isNumber(old[2]) && fields[1] == "x"
		if old[0] == fields[0] || sameNumber {
			return true
		}
	}
	return false
}

func isNumber(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}
