package token

import "time"

// SetRunTime changes how long a command may take.
func (s *Sources) SetRunTime(d time.Duration) { s.runTime = d }
