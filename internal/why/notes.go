package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
)

// approvalOf tells which approval admitted what the plan of the launch does not; "" if none
// is known.
func (f Facts) approvalOf(v verdict, method string) string {
	path, _, _ := strings.Cut(v.path, "?")
	for _, a := range slices.Backward(f.Approvals) {
		if v.host == nil || a.Allow.Host != v.host.Host || a.Allow.Port != v.host.Port {
			continue
		}
		// A route is methods times paths, so one approval may give the half of it.
		half := slices.Contains(a.Allow.Methods, method) || slices.ContainsFunc(a.Allow.Paths, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
		if half {
			return a.text(f.Now)
		}
	}
	return ""
}

func (a Approval) text(now time.Time) string {
	until := "this run only"
	if a.Kept {
		until = "kept for later runs"
	}
	return fmt.Sprintf("approved %s by %s, %s (bottle supervise show %.12s)", ago(now.Sub(a.At)), a.By, until, a.ID)
}

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours())/24)
}

// notesOnAllowed: what may still stand in the way, because it depends on the network or on
// what went before.
func (f Facts) notesOnAllowed(answer *Answer, v verdict) {
	limits := firewall.DefaultLimits()
	switch {
	case v.route != nil:
		answer.note(fmt.Sprintf("uploads to it are limited to %s in a run", size(v.told.UploadLimit())))
		if auth := v.route.Auth; auth != nil && f.Missing[auth.String()] {
			answer.note(fmt.Sprintf("its credential %s is not there, so egress would answer 502", auth))
		}
	case v.host != nil:
		if v.host.Scheme == "https" {
			answer.note("a plain tunnel: method, path and headers are not seen; the TLS handshake has to name the host")
		}
		answer.note(fmt.Sprintf("uploads to it are limited to %s in a run", size(limits.HostBytes)))
	}
	if v.host != nil && !v.host.Private {
		answer.note("an address that is not public is refused, whatever the name resolves to" + except(v.host.AllowPrivate))
	}
	answer.note("a redirect to another place is a request of its own")
}

func except(ranges []string) string {
	if len(ranges) == 0 {
		return ""
	}
	return ", but for " + strings.Join(ranges, ", ")
}

func size(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// Rules are those of egress and the firewall that a manifest cannot lift.
func unliftable(rule string) bool {
	return slices.Contains([]string{
		string(firewall.RuleSecret), string(firewall.RuleQuery), string(firewall.RulePath), string(firewall.RuleForm), string(firewall.RuleBody),
		string(egress.RuleLength), string(egress.RuleCanary), string(egress.RuleHost),
	}, rule)
}
