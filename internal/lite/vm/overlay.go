package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bottle.internal/internal/execx"
)

// overlayFeatures are those of ext4, whatever the host's mke2fs.conf says.
const overlayFeatures = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg," +
	"sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

// NewOverlay makes an empty sparse ext4 disk. This happens only before a guest wrote
// to it: the host never parses a file system that a guest had in its hands.
func NewOverlay(ctx context.Context, path string, gib int) error {
	mkfs, err := mkfsPath()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("creating the writable disk: %w", err)
	}
	err = file.Truncate(int64(gib) << 30)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("creating the writable disk: %w", err)
	}
	err = execx.Run(ctx, execx.Cmd{
		Path: mkfs, Args: []string{
			"-q", "-F", "-O", overlayFeatures, "-I", "256", "-i", "16384", "-J", "size=32", "-m", "0",
			"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", path,
		},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "MKE2FS_CONFIG=/dev/null"},
	})
	if err != nil {
		return fmt.Errorf("creating the writable disk: %w", err)
	}
	return nil
}

func mkfsPath() (string, error) {
	for _, name := range []string{"mkfs.ext4", "mke2fs"} {
		if path, err := execx.Find(name); err == nil {
			return path, nil
		}
		for _, dir := range []string{"/usr/sbin", "/sbin"} { // not on everybody's PATH
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				return path, nil
			}
		}
	}
	return "", errors.New("mkfs.ext4 is not installed\n  to set it up, run: go tool mage setup")
}
