package digest

import (
	"cmp"
	"strings"
)

// short is how much of a sum people compare.
const short = 12

// Line shows sums to people: "qemu 3f2ab1c04d5e, kernel unknown (permission denied)".
func Line(sums []Sum) string {
	words := make([]string, 0, len(sums))
	for _, sum := range sums {
		word := sum.Name + " " + Short(sum.SHA256)
		if sum.Problem != "" {
			word = sum.Name + " unknown (" + sum.Problem + ")"
		}
		words = append(words, word)
	}
	return cmp.Or(strings.Join(words, ", "), "none")
}

// Short is the beginning of a sum.
func Short(sum string) string { return sum[:min(len(sum), short)] }

// Map is the sums by name, whole, with the reasons where there is none.
func Map(sums []Sum) map[string]string {
	all := make(map[string]string, len(sums))
	for _, sum := range sums {
		all[sum.Name] = cmp.Or(sum.SHA256, "unknown: "+sum.Problem)
	}
	return all
}
