package boundary

import "time"

// SetPatience is for strangers that come later.
func (l *Listener) SetPatience(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.patience = d
}

// Seen is how many strangers were accepted, judged or not.
func (l *Listener) Seen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hits + len(l.open)
}
