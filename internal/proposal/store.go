package proposal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/state"
)

// The directories of a queue, below the instance.
const (
	proposalsDir = state.SuperviseDir + "/proposals"
	shownDir     = state.SuperviseDir + "/shown"
	decisionsDir = state.SuperviseDir + "/decisions"
	outcomesDir  = state.SuperviseDir + "/outcomes"
	currentFile  = state.SuperviseDir + "/current.json"
	lockFile     = state.SuperviseDir + "/lock"
)

const (
	maxCurrent = 4 << 20
	// maxEntries bounds a look into a directory; the owner keeps far fewer.
	maxEntries = 4096
	tempPrefix = ".tmp-"
)

// store reads and writes the files of one instance.
type store struct{ root *os.Root }

// openStore opens the directory of an instance. The owner makes what is missing.
func openStore(instance string, owner bool) (*store, error) {
	root, err := os.OpenRoot(instance)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	s := &store{root: root}
	for _, dir := range []string{state.SuperviseDir, proposalsDir, shownDir, decisionsDir, outcomesDir} {
		if owner {
			err = root.Mkdir(dir, 0o700)
		}
		if err == nil || errors.Is(err, fs.ErrExist) {
			err = s.checkDir(dir)
		}
		if err != nil {
			_ = root.Close()
			if dir != state.SuperviseDir && errors.Is(err, fs.ErrNotExist) { // half a queue is not the same as none
				return nil, fmt.Errorf("opening the queue: %s is missing", dir)
			}
			return nil, fmt.Errorf("opening the queue: %w", err)
		}
	}
	return s, nil
}

func (s *store) close() { _ = s.root.Close() }

// checkDir accepts a directory of our own that nobody else may look into.
func (s *store) checkDir(dir string) error {
	info, err := s.root.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is no private directory of ours", dir)
	}
	return nil
}

// read returns a file that is regular, has one name and at most limit bytes. Links, pipes
// and devices are refused before they are opened: an open of a pipe could wait forever.
func (s *store) read(name string, limit int64) ([]byte, error) {
	before, err := s.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := checkFile(name, before, limit); err != nil {
		return nil, err
	}
	file, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, info) {
		return nil, fmt.Errorf("%s was exchanged while it was opened", name)
	}
	if err := checkFile(name, info, limit); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s grew beyond %d bytes", name, limit)
	}
	return data, err
}

func checkFile(name string, info fs.FileInfo, limit int64) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", name)
	case !ok || stat.Nlink != 1:
		return fmt.Errorf("%s has more than one name", name)
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d", name, stat.Uid)
	case info.Size() > limit:
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", name, info.Size(), limit)
	}
	return nil
}

// write makes a file appear whole, on disk and under its name, or not at all.
func (s *store) write(name string, value any) ([]byte, error) {
	data, err := encode(value)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	temp := path.Join(dir, tempPrefix+rand.Text())
	if err := s.fill(temp, data); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", name, err), s.forget(temp))
	}
	if err := s.root.Rename(temp, name); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", name, err), s.forget(temp))
	}
	if err := s.sync(dir); err != nil {
		return nil, fmt.Errorf("writing %s: %w", name, err)
	}
	return data, nil
}

func (s *store) fill(name string, data []byte) error {
	file, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (s *store) sync(dir string) error {
	file, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func (s *store) forget(name string) error {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ids lists the IDs that have a file in dir, sorted. Names that are no ID are no business of
// ours and are left alone.
func (s *store) ids(dir string) ([]string, error) {
	file, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	entries, err := file.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), ".json"); ok && idPattern.MatchString(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// lock keeps other processes from deciding at the same time. It is held for a moment only.
func (s *store) lock() (unlock func(), err error) {
	if info, err := s.root.Lstat(lockFile); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("locking the queue: %s is no regular file", lockFile)
	}
	file, err := s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the queue: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the queue: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func fileOf(dir, id string) string { return dir + "/" + id + ".json" }

func readProposal(s *store, id, bottle string) (Proposal, string, error) {
	raw, err := s.read(fileOf(proposalsDir, id), maxFile)
	if err != nil {
		return Proposal{}, "", err
	}
	p, err := parseProposal(raw)
	if err == nil && (p.ID != id || p.Bottle != bottle) {
		err = errors.New("it is another one, or of another bottle")
	}
	if err != nil {
		return Proposal{}, "", fmt.Errorf("proposal %.12s: %w", id, err)
	}
	return p, sum(raw), nil
}

func readOutcome(s *store, id string) (Outcome, error) {
	var o Outcome
	raw, err := s.read(fileOf(outcomesDir, id), maxFile)
	if err != nil {
		return o, err
	}
	if err := ask.Decode(raw, &o); err != nil {
		return o, fmt.Errorf("outcome of %.12s: %w", id, err)
	}
	if o.ID != id || !slices.Contains([]ask.Status{ask.Approved, ask.Rejected, ask.Failed}, o.Status) {
		return o, fmt.Errorf("outcome of %.12s: it makes no sense", id)
	}
	return o, nil
}
