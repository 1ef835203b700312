package state

// What a bottle can be besides its phase. Nobody is left to write these.
const (
	Orphaned Phase = "orphaned" // its process is gone
	Gone     Phase = "gone"     // and so is its instance
)

// Look reads the status and says what state the bottle is in now.
func (i *Instance) Look() (status Status, now Phase, err error) {
	status, err = i.Status()
	if now = i.Now(status); now != Orphaned {
		return status, now, err
	}
	// Or its owner has just ended: what it wrote last counts.
	if status, err = i.Status(); i.Gone() {
		return status, Gone, nil
	}
	return status, i.Now(status), err
}

// Now asks the lock first: it is what a killed process cannot hold. One who holds it
// without having written a phase of its own takes a bottle up or away.
func (i *Instance) Now(status Status) Phase {
	owned := i.Owned()
	switch {
	case !owned && status.Phase == Stopped:
		return Stopped
	case !owned:
		return Orphaned
	case status.Phase == Stopped:
		return Starting
	}
	return status.Phase
}
