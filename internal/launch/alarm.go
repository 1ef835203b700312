package launch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/event"
	"bottle.internal/internal/link"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/provision"
)

// alarm is what a launch planted, and what came of it.
type alarm struct {
	planted canary.Set
	relays  []*link.Relay // the only ways out of the guest

	mu   sync.Mutex
	seen int              // sightings so far
	cut  *canary.Sighting // the one for which the bottle was cut off
}

// maxTold bounds what the operator is told one by one; the audit log has all of it.
const maxTold = 10

// plant makes this launch's fake credentials. What an earlier one had, before a resume,
// is of no use any more, and neither is its alarm.
func (b *Bottle) plant() error {
	var taken []string
	for _, file := range b.plan.Files {
		taken = append(taken, file.Path)
	}
	var err error
	if b.alarm.planted, err = canary.New(rand.Reader, taken...); err != nil {
		return err
	}
	b.deps.Audit.Hide(b.alarm.planted.Values...)
	if err := os.Remove(b.instance.Path(state.AlarmFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the alarm of an earlier launch: %w", err)
	}
	return nil
}

// fingerprints are all that is written down of what is planted.
func (a *alarm) fingerprints() []string {
	list := []string{}
	for _, value := range a.planted.Values {
		list = append(list, canary.Fingerprint(value.Reveal()))
	}
	return list
}

// settings are the planted files.
func (a *alarm) settings() []provision.Setting {
	var list []provision.Setting
	for _, file := range a.planted.Files {
		list = append(list, provision.Setting{Path: file.Path, Data: []byte(file.Text.Reveal())})
	}
	return list
}

// alarmed is called for every canary that was seen, by whoever saw it: it cuts the bottle
// off, unless on_canary says otherwise, and tells the operator. A sighting that was let
// through, in what a model was shown, cuts nothing.
func (b *Bottle) alarmed(seen canary.Sighting) {
	ctx := context.Background() // the sighting has none, and a teardown must not silence it
	b.alarm.mu.Lock()
	b.alarm.seen++
	count := b.alarm.seen
	cuts := seen.Blocked && b.plan.Cuts() && b.alarm.cut == nil
	if cuts {
		b.alarm.cut = &seen
	}
	b.alarm.mu.Unlock()
	if cuts {
		b.cutOff(ctx, seen)
	}
	if count <= maxTold {
		b.say(ctx, event.Warn, "ALARM", seen.String())
	}
	if count == maxTold {
		b.say(ctx, event.Warn, "ALARM", "more of them are in the audit log only: bottle audit show "+b.plan.Identity)
	}
	if cuts {
		b.say(ctx, event.Warn, "ALARM", fmt.Sprintf("%s is cut off: nothing leaves it any more. Its machine still runs, to be looked at\n%s\n%s",
			b.plan.Identity, "look:   bottle shell "+b.plan.Identity, "end it: bottle stop "+b.plan.Identity))
	}
	if count == 1 || cuts {
		b.leaveAlarm(ctx, seen, cuts)
	}
}

// cutOff closes every way out of the guest, for the rest of the run and whatever becomes of
// the bundle, and has the host answer nothing more that the bundle asks.
func (b *Bottle) cutOff(ctx context.Context, seen canary.Sighting) {
	b.overseer.CutOff()
	for _, relay := range b.alarm.relays {
		_ = relay.Close() // it cannot fail
	}
	b.audit(ctx, audit.Host, overseer.EventCutOff, map[string]any{
		"by": seen.Daemon, "where": seen.Where, "method": seen.Method, "host": seen.Host, "fingerprint": seen.Fingerprint,
	})
}

// leaveAlarm is for other processes: list shows that there was one.
func (b *Bottle) leaveAlarm(ctx context.Context, seen canary.Sighting, cut bool) {
	text, err := json.Marshal(struct {
		canary.Sighting
		Cut bool `json:"cut"`
	}{seen, cut})
	if err == nil {
		err = b.instance.WriteFile(state.AlarmFile, text)
	}
	if err != nil {
		b.say(ctx, event.Warn, "ALARM", fmt.Sprintf("it is not in the list: %v", err))
	}
}

// isCut reports whether the bottle was cut off.
func (a *alarm) isCut() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cut != nil
}

// verdict is how a run ended. One that was cut off did not end well, whatever the agent
// says: what is left of it is worth a look.
func (b *Bottle) verdict(code int, err error) (int, error) {
	if code != 0 || err != nil || !b.alarm.isCut() {
		return code, err
	}
	return code, &CutOffError{Identity: b.plan.Identity, Seen: *b.alarm.cut}
}

// CutOffError says that a bottle sent what nobody may know.
type CutOffError struct {
	Identity string
	Seen     canary.Sighting
}

func (e *CutOffError) Error() string { return fmt.Sprintf("%s was cut off: %s", e.Identity, e.Seen) }

// HintLines says where to look.
func (e *CutOffError) HintLines() []string { return []string{"bottle audit show " + e.Identity} }
