package smolvm

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// Version is a release of the tool.
type Version struct{ Major, Minor, Patch int }

var versionPattern = regexp.MustCompile(`^(\d{1,6})\.(\d{1,6})\.(\d{1,6})$`)

// ParseVersion reads "1.9.3".
func ParseVersion(text string) (Version, error) {
	parts := versionPattern.FindStringSubmatch(text)
	if parts == nil {
		return Version{}, fmt.Errorf("version %.40q: it should look like 1.9.3", text)
	}
	var numbers [3]int
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(parts[i+1]) // at most six digits: cannot fail
	}
	return Version{numbers[0], numbers[1], numbers[2]}, nil
}

// String is the inverse of ParseVersion.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Compare is -1 if v is older than other, 1 if it is newer.
func (v Version) Compare(other Version) int {
	return cmp.Or(cmp.Compare(v.Major, other.Major), cmp.Compare(v.Minor, other.Minor), cmp.Compare(v.Patch, other.Patch))
}

func (v Version) before(major, minor, patch int) bool {
	return v.Compare(Version{major, minor, patch}) < 0
}

// positionalName: create and delete took the name as a bare argument up to 1.0.1, and
// refuse that from 1.0.2 on.
func (v Version) positionalName() bool { return v.before(1, 0, 2) }

// deleteLeavesProcess: 0.8.0 deletes the record of a running machine and orphans its VMM.
func (v Version) deleteLeavesProcess() bool { return v.before(0, 8, 1) }

// needsNetworkFrom: two releases refuse a packed machine without a network.
func (v Version) needsNetworkFrom() bool { return !v.before(1, 7, 3) && v.before(1, 7, 5) }

// VersionError says that a tool is of the wrong version.
type VersionError struct {
	Name    string  // the tool
	Feature string  // what needs another version; empty: everything does
	Min     Version // the first that will do
	Max     Version // the last that will do; zero: no limit
	Actual  Version
	Reason  string // optional
}

func (e *VersionError) Error() string {
	want := e.Min.String() + " or later"
	if e.Max != (Version{}) {
		want = fmt.Sprintf("%s to %s", e.Min, e.Max)
	}
	problem := "cannot be used"
	if e.Feature != "" {
		problem = fmt.Sprintf("has no working %q", e.Feature)
	}
	text := fmt.Sprintf("%s %s %s: version %s is needed", e.Name, e.Actual, problem, want)
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text
}

// HintLines says what to type.
func (e *VersionError) HintLines() []string {
	if e.Name == NameLite {
		return []string{"go tool mage setup"}
	}
	return []string{"curl -sSL https://smolmachines.com/install.sh | bash"}
}

const (
	reasonTooOld      = "older releases drop or do not enforce what keeps a machine inside its boundary"
	reasonNeedsNet    = "1.7.3 and 1.7.4 refuse a packed machine without a network, and ours have none"
	reasonNoFromSocks = "before 1.7.0 a packed machine silently gets no mounted sockets"
)

func minimum() Version { return Version{1, 8, 1} }

// checkUsable accepts every version from the minimum on, those we have never seen too:
// the boundary probes decide about them.
func checkUsable(name string, actual Version) error {
	if actual.Compare(minimum()) >= 0 {
		return nil
	}
	reason := reasonTooOld
	if actual.needsNetworkFrom() {
		reason = reasonNeedsNet
	}
	return &VersionError{Name: name, Min: minimum(), Actual: actual, Reason: reason}
}

// gate is checked by the builders: a feature and the version that brought it.
type gate struct {
	feature string
	min     Version
	reason  string
}

func (t Tool) require(g gate) error {
	if t.Version.Compare(g.min) >= 0 {
		return nil
	}
	return &VersionError{Name: t.Name, Feature: g.feature, Min: g.min, Actual: t.Version, Reason: g.reason}
}
