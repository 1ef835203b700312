package overseer

import (
	"bytes"
	"encoding/json"
	"errors"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
)

// EventCutOff is the event of the audit log after which no daemon gets an answer.
const EventCutOff = "cut-off"

// errCutOff is what a daemon of a bottle that was cut off is told.
var errCutOff = errors.New("the bottle is cut off")

// CutOff ends the answers to the daemons for the rest of the run: no token, no signature,
// no approval.
func (o *Overseer) CutOff() { o.cut.Store(true) }

// judge looks for canaries in what an agent wrote for the operator to read, and refuses it
// before it is on a disk or a screen.
func (o *Overseer) judge(q control.Question) error {
	if o.cut.Load() {
		return errCutOff
	}
	if q.Daemon != daemons.Supervise || o.canaries.Empty() {
		return nil
	}
	fingerprint, found := o.canaries.Find(texts(q.Body)...)
	if !found {
		return nil
	}
	seen := canary.Sighting{
		Daemon: daemons.Supervise, Where: "arguments of a tool", Fingerprint: fingerprint, Blocked: true,
	}
	o.config.Audit(canary.Event, map[string]any{
		"where": seen.Where, "rule": "canary", "fingerprint": fingerprint, "blocked": true, "reason": "a canary in the " + seen.Where,
	})
	if o.config.Alarm != nil {
		o.config.Alarm(seen)
	}
	return errors.New("it holds a credential")
}

// texts are all names and strings of a JSON value, without their escapes; of anything else
// the bytes.
func texts(raw json.RawMessage) []string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	list := []string{string(raw)}
	for {
		token, err := decoder.Token()
		if err != nil {
			return list
		}
		if text, ok := token.(string); ok {
			list = append(list, text)
		}
	}
}
