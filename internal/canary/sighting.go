package canary

import "fmt"

// Sighting is what the host learns of a canary that was seen. It never holds the value.
type Sighting struct {
	Daemon      string `json:"daemon"`
	Where       string `json:"where"`
	Method      string `json:"method,omitempty"`
	Host        string `json:"host,omitempty"` // or the remote of a push
	Fingerprint string `json:"fingerprint"`
	Blocked     bool   `json:"blocked"`
}

// String is the sighting in one line.
func (s Sighting) String() string {
	text := fmt.Sprintf("a fake credential was seen by the %s in the %s", s.Daemon, s.Where)
	if s.Method != "" || s.Host != "" {
		text += fmt.Sprintf(" (%s)", join(s.Method, s.Host))
	}
	if !s.Blocked {
		text += ", which went through"
	}
	return text
}

func join(method, host string) string {
	if method == "" || host == "" {
		return method + host
	}
	return method + " " + host
}
