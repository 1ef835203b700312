package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Rule 23: a file system that a guest has written is never mounted or parsed on the host.
// Kernels and file system tools take such bytes for their own; a broken one takes over who
// looks at it. These are the ways to look that Go code has.
func filesystemFindings(name, source string) []string {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, 0)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	say := func(node ast.Node, what string) {
		found = append(found, name+":"+strconv.Itoa(set.Position(node.Pos()).Line)+": "+what)
	}
	for _, imported := range file.Imports {
		path, _ := strconv.Unquote(imported.Path.Value)
		reads := slices.ContainsFunc([]string{"diskfs", "ext4", "squashfs", "erofs", "libguestfs", "go-fuse", "xfs", "btrfs"}, func(part string) bool { return strings.Contains(path, part) })
		// tar2ext4 makes a file system out of an image of ours; it reads none.
		if reads && !strings.HasSuffix(path, "/tar2ext4") {
			say(imported, "imports "+path)
		}
	}
	calls := []string{"Mount", "Fsopen", "Fsmount", "MoveMount", "OpenTree", "MountSetattr", "Pivot_root", "PivotRoot"}
	programs := []string{
		"mount", "umount", "losetup", "debugfs", "e2fsck", "fsck", "fsck.ext4", "dumpe2fs", "tune2fs", "resize2fs", "e2image", "e2cp", "e2ls", "fuse2fs", "fuseext2",
		"guestmount", "guestfish", "virt-copy-out", "qemu-nbd", "kpartx", "partx", "dmsetup", "mountpoint", "udisksctl", "7z", "bsdtar",
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.SelectorExpr:
			from, ok := node.X.(*ast.Ident)
			if ok && (from.Name == "unix" || from.Name == "syscall") && (slices.Contains(calls, node.Sel.Name) || strings.HasPrefix(node.Sel.Name, "LOOP_")) {
				say(node, from.Name+"."+node.Sel.Name)
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(node.Value)
			if node.Kind == token.STRING && err == nil && slices.Contains(programs, filepath.Base(text)) {
				say(node, "names the program "+text)
			}
		}
		return true
	})
	return found
}

func TestNoGuestFilesystemOnTheHost(t *testing.T) {
	t.Parallel()
	inGuest := []string{"internal/lite/guest", "cmd/lite-init", "images"}
	files := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		if entry.IsDir() {
			if slices.Contains(inGuest, name) || entry.Name() == ".git" || entry.Name() == "testdata" || name == "tests" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, finding := range filesystemFindings(name, string(source)) {
			t.Error(finding)
		}
		// The guest's disk: made empty, handed to QEMU, and deleted with its directory.
		if strings.Contains(string(source), "OverlayFile") && !slices.Contains([]string{
			"internal/lite/store/record.go", "internal/lite/cli/create.go", "internal/lite/cli/start.go",
		}, name) {
			t.Errorf("%s has to do with the disk that a guest writes", name)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestFilesystemFindings(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`package x; import "golang.org/x/sys/unix"; func f() { _ = unix.Mount("a", "b", "ext4", 0, "") }`: "x.go:1: unix.Mount",
		`package x; import "syscall"; var f = syscall.Mount`:                                              "x.go:1: syscall.Mount",
		`package x; var n = unix.LOOP_SET_FD`:                                                             "x.go:1: unix.LOOP_SET_FD",
		`package x; var p = "/sbin/debugfs"`:                                                              "x.go:1: names the program /sbin/debugfs",
		`package x; import _ "github.com/diskfs/go-diskfs"`:                                               "x.go:1: imports github.com/diskfs/go-diskfs",
		`package x; import _ "github.com/Microsoft/hcsshim/ext4/tar2ext4"; var p = "mkfs.ext4"`:           "",
	} {
		if got := strings.Join(filesystemFindings("x.go", source), "; "); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}
