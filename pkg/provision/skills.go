package provision

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
)

// Limits of one skill.
const (
	maxSkillFiles = 1000
	maxSkillBytes = 8 << 20
)

var skillName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// renderSkills copies each skill's tree in place of the guest's copy.
func renderSkills(in Input) (step, error) {
	dir := orDefault(in.SkillsDir, ".claude/skills")
	var s step
	seen := map[string]bool{}
	for _, skill := range in.Skills {
		if !skillName.MatchString(skill.Name) || seen[skill.Name] {
			return step{}, fmt.Errorf("skill %.60q: its name is wrong or there twice", skill.Name)
		}
		seen[skill.Name] = true
		target := path.Join(dir, skill.Name)
		files, err := readSkill(skill.FS, target)
		if err != nil {
			return step{}, fmt.Errorf("skill %q: %w", skill.Name, err)
		}
		s.remove = append(s.remove, target)
		s.files = append(s.files, files...)
	}
	return s, nil
}

func readSkill(tree fs.FS, target string) ([]File, error) {
	if tree == nil {
		return nil, errors.New("it has no files")
	}
	var files []File
	left := int64(maxSkillBytes)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err // vanished since the plan, for one
		}
		if entry.IsDir() {
			return nil
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", name)
		}
		data, mode, err := readSkillFile(tree, name, left)
		if err != nil {
			return err
		}
		left -= int64(len(data))
		if len(files) == maxSkillFiles {
			return fmt.Errorf("it has more than %d files", maxSkillFiles)
		}
		file := agentFile(path.Join(target, name), data)
		file.Mode = mode
		files = append(files, file)
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("it has no files")
	}
	return files, err
}

// readSkillFile trusts the opened file, not what the directory said before.
func readSkillFile(tree fs.FS, name string, limit int64) ([]byte, fs.FileMode, error) {
	file, err := tree.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("it has more than %d MiB", maxSkillBytes>>20)
	}
	if info.Mode()&0o111 != 0 {
		return data, 0o755, nil
	}
	return data, 0o644, nil
}
