package imagebuild

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/imagebuild/npm"
)

var (
	accountName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	npmName     = regexp.MustCompile(`^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*$`)
	npmVersion  = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]*$`)
	npmSuffix   = regexp.MustCompile(`^-[0-9A-Za-z.-]+$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// read takes the values and checks each by itself.
func (r *Recipe) read(top *table) {
	r.Base = top.required("base")
	r.Dockerfile = top.text("dockerfile")
	r.Workdir = r.target(top, "workdir", false)
	r.Roots = r.target(top, "ca_roots", false)
	r.Cmd = top.texts("cmd")
	env := top.textMap("env")
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !envName.MatchString(name) {
			top.bad("env."+name, "%q is not a name for a variable", name)
		}
		r.Env = append(r.Env, name+"="+env[name])
	}
	if t := top.table("debian"); t != nil {
		r.readDebian(t)
	}
	for _, t := range top.tables("user") {
		r.readUser(t)
	}
	for _, t := range top.tables("directory") {
		r.readDirectory(t)
	}
	for _, t := range top.tables("files") {
		files := Files{From: t.required("from"), To: r.target(t, "to", true), Owner: t.text("owner"), Executable: t.texts("executable")}
		r.Files = append(r.Files, files)
		t.finish()
	}
	for _, t := range top.tables("program") {
		program := Program{Package: t.required("package"), To: r.target(t, "to", true)}
		if program.Package != "" && !strings.HasPrefix(program.Package, "./") {
			t.bad("package", "must be a directory of our module, like ./images/bundle")
		}
		r.Programs = append(r.Programs, program)
		t.finish()
	}
	for _, t := range top.tables("supplied") {
		r.Supplied = append(r.Supplied, Supplied{Name: t.required("name"), To: r.target(t, "to", true)})
		t.finish()
	}
	for _, t := range top.tables("npm") {
		r.readNpm(t)
	}
	top.finish()
}

// target reads an absolute, clean path in the image. Debian keeps /bin, /sbin and
// /lib* as links to /usr; a layer with such a directory would replace the link.
func (r *Recipe) target(t *table, key string, required bool) string {
	value := t.text(key)
	first, _, _ := strings.Cut(strings.TrimPrefix(value, "/"), "/")
	switch {
	case value == "" && !required:
	case value == "":
		t.bad(key, "is missing")
	case !path.IsAbs(value) || path.Clean(value) != value:
		t.bad(key, "%q must be an absolute path without .., // or a slash at its end", value)
	case isLinked(first):
		t.bad(key, "/%s is a link to /usr/%s in the base: use /usr%s", first, first, value)
	}
	return value
}

func isLinked(first string) bool {
	return slices.Contains([]string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}, first)
}

func (r *Recipe) readDebian(t *table) {
	r.Debian = &Debian{Suite: t.required("suite"), Packages: t.texts("packages")}
	for _, name := range append(slices.Clone(r.Debian.Packages), r.Debian.Suite) {
		if name != "" && !packageName.MatchString(name) {
			t.bad("", "%q is neither a package nor a suite", name)
		}
	}
	t.finish()
}

func (r *Recipe) readUser(t *table) {
	user := User{Name: t.required("name"), UID: t.number("uid"), GID: t.number("gid"), Home: r.target(t, "home", true), Shell: r.shell(t)}
	if user.Name != "" && !accountName.MatchString(user.Name) {
		t.bad("name", "%q is not a name for an account", user.Name)
	}
	r.Users = append(r.Users, user)
	t.finish()
}

// shell may be /bin/sh: it is only a text in /etc/passwd.
func (r *Recipe) shell(t *table) string {
	value := t.required("shell")
	if value != "" && (!path.IsAbs(value) || strings.ContainsAny(value, ":\n")) {
		t.bad("shell", "%q must be an absolute path", value)
	}
	return value
}

func (r *Recipe) readDirectory(t *table) {
	mode, err := strconv.ParseInt(t.required("mode"), 8, 64)
	if err != nil || mode < 0 || mode > 0o7777 {
		t.bad("mode", `must be octal digits in quotes, like "1777"`)
	}
	r.Dirs = append(r.Dirs, Directory{Path: r.target(t, "path", true), Mode: mode, Owner: t.text("owner")})
	t.finish()
}

func (r *Recipe) readNpm(t *table) {
	tool := Npm{Tool: t.required("tool"), ByCPU: map[string]Tarball{}}
	if tool.Tool != "" && !accountName.MatchString(tool.Tool) {
		t.bad("tool", "%q is not a name for a tool", tool.Tool)
	}
	for _, arch := range architectures() {
		if cpu := t.table(arch); cpu != nil {
			tool.ByCPU[arch] = readTarball(cpu)
		}
	}
	if len(tool.ByCPU) == 0 {
		t.bad("", "names no package: it needs a table amd64 or arm64")
	}
	r.Npm = append(r.Npm, tool)
	t.finish()
}

func architectures() []string { return []string{"amd64", "arm64"} }

func readTarball(t *table) Tarball {
	ball := Tarball{
		Package: t.required("package"), Suffix: t.text("suffix"), Version: t.text("version"), Integrity: t.text("integrity"),
		Files: t.texts("files"), Links: t.textMap("links"),
	}
	if ball.Package != "" && !npmName.MatchString(ball.Package) {
		t.bad("package", "%q is not the name of an npm package", ball.Package)
	}
	ball.checkPin(t)
	if len(ball.Files) == 0 {
		t.bad("files", "is missing: name the files to unpack")
	}
	for _, file := range ball.Files {
		if !fs.ValidPath(file) || file == "." {
			t.bad("files", "%q must be a path inside the package", file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ball.Links)) {
		if !slices.Contains(ball.Files, ball.Links[name]) {
			t.bad("links."+name, "%q is not one of the files", ball.Links[name])
		}
		if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			t.bad("links", "%q is not a file name", name)
		}
	}
	t.finish()
	return ball
}

// checkPin looks at the version, which is in bottle.lock if it is not here.
func (b Tarball) checkPin(t *table) {
	if b.Version != "" && !npmVersion.MatchString(b.Version) {
		t.bad("version", "%q is not one exact version", b.Version)
	}
	if (b.Version == "") != (b.Integrity == "") {
		t.bad("", "needs both a version and an integrity, or neither: then bottle.lock has them")
	}
	if b.Suffix != "" && (b.Version != "" || !npmSuffix.MatchString(b.Suffix)) {
		t.bad("suffix", "%q must be like -linux-x64, and the version in bottle.lock", b.Suffix)
	}
	if _, err := npm.Digest(b.Integrity); b.Integrity != "" && err != nil {
		t.bad("integrity", "must be sha512- and 88 characters of base64, as `npm view PACKAGE@VERSION dist.integrity` prints it")
	}
}

// check looks at values together, once each of them is right.
func (r *Recipe) check(top *table) {
	if r.Dockerfile != "" && !strings.HasPrefix(r.Base, "docker:") {
		top.bad("dockerfile", `needs base = "docker:NAME", the name that the built image gets`)
	}
	if r.Base == "debian" && r.Debian == nil {
		top.bad("base", "needs a [debian] section with suite and packages")
	}
	if err := checkBase(r.Base); err != nil {
		top.bad("base", "%v", err)
	}
	for i, user := range r.Users {
		for _, earlier := range r.Users[:i] {
			if user.Name == earlier.Name || user.UID == earlier.UID {
				top.bad(fmt.Sprintf("user[%d]", i), "%s (%d) is already there as %s (%d)", user.Name, user.UID, earlier.Name, earlier.UID)
			}
		}
	}
	for i, tool := range r.Npm {
		if slices.Contains(r.Tools()[:i], tool.Tool) {
			top.bad(fmt.Sprintf("npm[%d].tool", i), "%q is listed twice", tool.Tool)
		}
	}
	for i, dir := range r.Dirs {
		r.checkOwner(top, fmt.Sprintf("directory[%d].owner", i), dir.Owner)
	}
	for i, files := range r.Files {
		r.checkOwner(top, fmt.Sprintf("files[%d].owner", i), files.Owner)
		r.checkFiles(top, fmt.Sprintf("files[%d]", i), files)
	}
}

func (r *Recipe) checkOwner(top *table, field, owner string) {
	if _, ok := r.owner(owner); !ok {
		top.bad(field, "%q is no [[user]] of this recipe", owner)
	}
}

// owner finds a user by name; no name and "root" are root.
func (r *Recipe) owner(name string) (User, bool) {
	if name == "" || name == "root" {
		return User{Name: "root"}, true
	}
	for _, user := range r.Users {
		if user.Name == name {
			return user, true
		}
	}
	return User{}, false
}

func (r *Recipe) checkFiles(top *table, field string, files Files) {
	if !fs.ValidPath(files.From) {
		top.bad(field+".from", "%q must be a directory below the recipe", files.From)
		return
	}
	info, err := fs.Stat(r.fsys, path.Join(r.dir, files.From))
	if err != nil || !info.IsDir() {
		top.bad(field+".from", "there is no directory %s beside the recipe", files.From)
		return
	}
	for _, name := range files.Executable {
		info, err := fs.Stat(r.fsys, path.Join(r.dir, files.From, name))
		if err != nil || !info.Mode().IsRegular() {
			top.bad(field+".executable", "there is no file %s in %s", name, files.From)
		}
	}
}
