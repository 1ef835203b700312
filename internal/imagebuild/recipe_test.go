package imagebuild_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/images"
	"bottle.internal/internal/imagebuild"
)

func TestOurRecipes(t *testing.T) {
	t.Parallel()
	agent, err := imagebuild.LoadRecipe(images.Recipes(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	if got := agent.Tools(); !slices.Equal(got, []string{"claude", "codex", "opencode"}) {
		t.Errorf("tools = %v", got)
	}
	for _, tool := range agent.Npm {
		for _, arch := range []string{"amd64", "arm64"} {
			if tool.ByCPU[arch].Package == "" {
				t.Errorf("%s is not pinned for %s", tool.Tool, arch)
			}
		}
	}
	if !slices.Equal(agent.Cmd, []string{"/usr/local/bin/bottle-guest", "serve"}) {
		t.Errorf("cmd = %v", agent.Cmd)
	}
	want := imagebuild.User{Name: "agent", UID: 1000, GID: 1000, Home: "/home/agent", Shell: "/bin/bash"}
	if len(agent.Users) != 1 || agent.Users[0] != want {
		t.Errorf("users = %+v", agent.Users)
	}
	bundle, err := imagebuild.LoadRecipe(images.Recipes(), "bundle")
	if err != nil {
		t.Fatal(err)
	}
	// One base for both: it is made, stored and loaded once.
	if bundle.Base != agent.Base || !slices.Equal(bundle.Debian.Packages, agent.Debian.Packages) || bundle.Name != "bundle" {
		t.Errorf("bundle = %+v", bundle)
	}
	// The images are built wherever the user is: what answers is the user's business.
	for _, recipe := range []*imagebuild.Recipe{agent, bundle} {
		if host, _, found := strings.Cut(recipe.Base, "/"); found && strings.ContainsAny(host, ".:") {
			t.Errorf("the base %s of %s names a registry", recipe.Base, recipe.Name)
		}
	}
}

const good = `base = "scratch"
[[user]]
name = "agent"
uid = 1000
gid = 1000
home = "/home/agent"
shell = "/bin/sh"
`

func TestRecipeProblems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"no base", "", "r/image.toml:1: base: is missing"},
		{"syntax", "base = \"scratch\"\nenv = [", "r/image.toml:2: unexpected EOF; expected value"},
		{
			"several at once", "base = 7\nworkdir = \"here\"\n\n[debain]\n\n[[user]]\nname = \"Agent\"\nuid = 0\ngid = \"1000\"\n",
			`r/image.toml:1: base: must be a string
r/image.toml:2: workdir: "here" must be an absolute path without .., // or a slash at its end
r/image.toml:4: debain: unknown field
r/image.toml:6: user[0].home: is missing
r/image.toml:6: user[0].shell: is missing
r/image.toml:7: user[0].name: "Agent" is not a name for an account
r/image.toml:8: user[0].uid: must be between 1 and 65534
r/image.toml:9: user[0].gid: must be a whole number`,
		},
		{"bad reference", `base = "UPPER CASE"`, `r/image.toml:1: base: "UPPER CASE" is neither "scratch", "debian", docker:NAME, layout:PATH, archive:PATH nor a registry reference`},
		{"docker without a name", `base = "docker:"`, `r/image.toml:1: base: "docker:" names nothing after the colon`},
		{"debian without packages", `base = "debian"`, "r/image.toml:1: base: needs a [debian] section with suite and packages"},
		{"dockerfile without docker", "base = \"scratch\"\ndockerfile = \"./Dockerfile\"", `r/image.toml:2: dockerfile: needs base = "docker:NAME", the name that the built image gets`},
		{
			"a package that is an option", "base = \"debian\"\n[debian]\nsuite = \"--hook=x\"\npackages = [\"git\", \"a;b\"]",
			"r/image.toml:2: debian: \"a;b\" is neither a package nor a suite\nr/image.toml:2: debian: \"--hook=x\" is neither a package nor a suite",
		},
		{"linked directory", "base = \"scratch\"\n[[program]]\npackage = \"./x\"\nto = \"/bin/x\"", "r/image.toml:4: program[0].to: /bin is a link to /usr/bin in the base: use /usr/bin/x"},
		{"foreign program", "base = \"scratch\"\n[[program]]\npackage = \"example.test/x\"\nto = \"/x\"", "r/image.toml:3: program[0].package: must be a directory of our module, like ./images/bundle"},
		{"leaving the image", "base = \"scratch\"\n[[directory]]\npath = \"/a/../../b\"\nmode = \"0755\"", `r/image.toml:3: directory[0].path: "/a/../../b" must be an absolute path without .., // or a slash at its end`},
		{"mode as a number", "base = \"scratch\"\n[[directory]]\npath = \"/a\"\nmode = 755", "r/image.toml:4: directory[0].mode: must be a string\nr/image.toml:4: directory[0].mode: must be octal digits in quotes, like \"1777\""},
		{"unknown owner", good + "[[directory]]\npath = \"/a\"\nmode = \"0755\"\nowner = \"agnet\"", `r/image.toml:11: directory[0].owner: "agnet" is no [[user]] of this recipe`},
		{"user twice", good + good[strings.Index(good, "[[user]]"):], "r/image.toml:8: user[1]: agent (1000) is already there as agent (1000)"},
		{"no such files", "base = \"scratch\"\n[[files]]\nfrom = \"none\"\nto = \"/\"", "r/image.toml:3: files[0].from: there is no directory none beside the recipe"},
		{"files from elsewhere", "base = \"scratch\"\n[[files]]\nfrom = \"../other\"\nto = \"/\"", `r/image.toml:3: files[0].from: "../other" must be a directory below the recipe`},
		{"no such program", "base = \"scratch\"\n[[files]]\nfrom = \"files\"\nto = \"/\"\nexecutable = [\n  \"a\",\n]", "r/image.toml:5: files[0].executable: there is no file a in files"},
		{"env", "base = \"scratch\"\n[env]\nA-B = \"1\"\nC = 2", "r/image.toml:3: env.A-B: \"A-B\" is not a name for a variable\nr/image.toml:4: env.C: must be a string"},
		{
			"npm", "base = \"scratch\"\n[[npm]]\ntool = \"one\"\n\n[[npm]]\ntool = \"two\"\n[npm.amd64]\npackage = \"../x\"\nversion = \"^1.0.0\"\nintegrity = \"sha1-abc\"\nfiles = [\"../a\"]\nlinks = { b = \"c\" }",
			`r/image.toml:2: npm[0]: names no package: it needs a table amd64 or arm64
r/image.toml:8: npm[1].amd64.package: "../x" is not the name of an npm package
r/image.toml:9: npm[1].amd64.version: "^1.0.0" is not one exact version
r/image.toml:10: npm[1].amd64.integrity: must be sha512- and 88 characters of base64, as ` + "`npm view PACKAGE@VERSION dist.integrity`" + ` prints it
r/image.toml:11: npm[1].amd64.files: "../a" must be a path inside the package
r/image.toml:12: npm[1].amd64.links.b: "c" is not one of the files`,
		},
		{
			"half a pin", "base = \"scratch\"\n[[npm]]\ntool = \"one\"\n[npm.amd64]\npackage = \"x\"\nversion = \"1.0.0\"\nsuffix = \"-linux\"\nfiles = [\"a\"]\n[npm.arm64]\npackage = \"x\"\nsuffix = \"linux/../x\"\nfiles = [\"a\"]",
			`r/image.toml:4: npm[0].amd64: needs both a version and an integrity, or neither: then bottle.lock has them
r/image.toml:7: npm[0].amd64.suffix: "-linux" must be like -linux-x64, and the version in bottle.lock
r/image.toml:11: npm[0].arm64.suffix: "linux/../x" must be like -linux-x64, and the version in bottle.lock`,
		},
		{
			"lines after long values", "base = \"scratch\"\ncmd = [ # [\n  \"x\",\n  \"= ]\",\n]\n[env]\nA = \"\"\"\nbase = 1\n[debian]\n\"\"\"\nB = '''\nC = 3'''\nD = 4",
			"r/image.toml:13: env.D: must be a string",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{"r/image.toml": {Data: []byte(test.text)}, "r/files/x": {}}
			_, err := imagebuild.LoadRecipe(fsys, "r")
			problems := (*imagebuild.Problems)(nil)
			if !errors.As(err, &problems) || err.Error() != test.want {
				t.Errorf("err:\n%v\nwant:\n%s", err, test.want)
			}
		})
	}
}

func TestRecipeIsMissing(t *testing.T) {
	t.Parallel()
	_, err := imagebuild.LoadRecipe(fstest.MapFS{}, "r")
	if want := "reading the recipe: open r/image.toml: file does not exist"; err == nil || err.Error() != want {
		t.Errorf("err = %v", err)
	}
}

func FuzzLoadRecipe(f *testing.F) {
	f.Add(good)
	f.Add("base = \"scratch\"\n[[npm]]\ntool = \"a\"\n[npm.amd64]\nfiles = []")
	f.Add("base = '''x\n'''\n[a.\"b.c\"]\nd = [[1], {x = 2}]")
	f.Fuzz(func(t *testing.T, text string) {
		recipe, err := imagebuild.LoadRecipe(fstest.MapFS{"r/image.toml": {Data: []byte(text)}}, "r")
		if (recipe == nil) == (err == nil) {
			t.Errorf("recipe %v, err %v", recipe, err)
		}
		lines := strings.Count(text, "\n") + 1
		problems := (*imagebuild.Problems)(nil)
		if !errors.As(err, &problems) {
			return
		}
		for _, problem := range problems.List {
			if problem.Line < 1 || problem.Line > lines+1 || problem.Text == "" {
				t.Errorf("problem without a line: %+v", problem)
			}
		}
	})
}
