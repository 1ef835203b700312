package app

import (
	"fmt"

	"bottle.internal/internal/doctor"
	"bottle.internal/pkg/smolvm"
)

// room refuses a start that could fill the disk: a full one breaks what runs already, on
// this host too.
func (a *App) room(tool smolvm.Tool) error {
	spaces, err := a.measure([]doctor.Place{
		{What: "the machines' disks", Dir: tool.Disks(smolvm.Environ(a.config.Environ, nil))},
		{What: "the state", Dir: a.dirs.state},
		{What: "the caches", Dir: a.dirs.cache},
	})
	if err != nil {
		return fmt.Errorf("looking for room: %w", err)
	}
	tight := doctor.Tightest(spaces)
	if tight == nil {
		return nil
	}
	return &Problem{
		Text:  fmt.Sprintf("only %d MiB are free for %s in %s, and a start needs %d MiB", tight.Free>>20, tight.What, tight.Dir, uint64(doctor.MinFree)>>20),
		Hints: []string{"bottle cleanup   # what ended bottles left", "bottle clean     # removes the caches", "df -h"},
	}
}
