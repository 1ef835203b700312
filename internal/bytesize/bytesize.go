// Package bytesize writes numbers of bytes for people.
package bytesize

import "fmt"

// Of renders n bytes in decimal units, with one digit after the point.
func Of(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if value /= 1000; value < 999.95 {
			return fmt.Sprintf("%.1f %s", value, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", value/1000)
}
