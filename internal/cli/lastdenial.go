package cli

import (
	"fmt"
	"time"

	"bottle.internal/internal/app"
)

// maxTarget bounds what a list shows of a target.
const maxTarget = 40

// lastDenial is "2m ago api.example.com/v2/", or "-".
func lastDenial(denial *app.Denial, now time.Time) string {
	if denial == nil {
		return "-"
	}
	target := []rune(denial.Target)
	if len(target) > maxTarget {
		target = append(target[:maxTarget-3], []rune("...")...)
	}
	return fmt.Sprintf("%s ago %s", short(now.Sub(denial.Time)), string(target))
}

// short is a duration in its largest unit.
func short(d time.Duration) string {
	switch d = max(0, d); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
