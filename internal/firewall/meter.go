package firewall

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts what leaves the bottle, for as long as the firewall runs. Only declared
// destinations have an account, so that the agent cannot make it grow.
type meter struct {
	limits Limits
	now    func() time.Time
	sent   atomic.Int64 // by all accounts together
	full   atomic.Bool  // something did not fit any more

	mu       sync.Mutex
	accounts map[string]*account
}

// account is one destination, host and port.
type account struct {
	host     string
	port     uint16
	all      *meter
	up, down atomic.Int64
	requests atomic.Int64
	full     atomic.Bool // something did not fit any more

	started  time.Time // of the present minute; guarded by meter.mu, as are the next two
	inMinute int
	written  [3]int64 // what the last line said
}

func newMeter(limits Limits, now func() time.Time) *meter {
	return &meter{limits: limits, now: now, accounts: map[string]*account{}}
}

// open returns the account of an allowed destination.
func (m *meter) open(host Host) *account {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.accounts[host.String()]
	if a == nil {
		a = &account{host: host.Host, port: host.Port, all: m, started: m.now()}
		m.accounts[host.String()] = a
	}
	return a
}

// request counts one request; false says that this minute has had its share.
func (a *account) request() bool {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if now := a.all.now(); now.Sub(a.started) >= time.Minute {
		a.started, a.inMinute = now, 0
	}
	if a.inMinute >= a.all.limits.PerMinute {
		return false
	}
	a.inMinute++
	a.requests.Add(1)
	return true
}

// spend takes n bytes on their way out from the budgets, before they are sent. What does
// not fit is not sent, nor is anything after it. A host's budget is for plain routes:
// egress has its own.
func (a *account) spend(n int64, mode Mode) error {
	switch {
	case mode == Plain && a.full.Load():
		return errHostBudget
	case a.all.full.Load():
		return errBottleBudget
	}
	if up := a.up.Add(n); mode == Plain && up > a.all.limits.HostBytes {
		a.up.Add(-n)
		a.full.Store(true)
		return errHostBudget
	}
	if a.all.sent.Add(n) > a.all.limits.BottleBytes {
		a.all.sent.Add(-n)
		a.up.Add(-n)
		a.all.full.Store(true)
		return errBottleBudget
	}
	return nil
}

// totals is one line for each account that changed since the last time, in the order of
// their names.
func (m *meter) totals() []line {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []line
	for _, a := range slices.SortedFunc(maps.Values(m.accounts), byHost) {
		up, down, requests := a.up.Load(), a.down.Load(), a.requests.Load()
		now := [3]int64{up, down, requests}
		if now == a.written {
			continue
		}
		a.written = now
		lines = append(lines, line{
			Event: eventTotals, Host: a.host, Port: a.port, Up: &up, Down: &down, Count: int(requests),
		})
	}
	return lines
}

func byHost(a, b *account) int {
	return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port))
}
