// Package nearest guesses what a misspelt word was meant to be. It rather says nothing than
// something far-fetched: two slips at most, in no more than half of the word.
package nearest

// Of returns the known word that a misspelt one most likely means, or "".
func Of(word string, known []string) string {
	if len(word) > 40 {
		return ""
	}
	best, bestDistance := "", 3
	for _, candidate := range known {
		d := distance(word, candidate)
		// Two edits turn any two-letter word into any other.
		if d < bestDistance && d*2 <= max(len(word), len(candidate)) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the bytes to change, add, drop or swap with their neighbour.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, above, row := rows[0], rows[1], rows[2]
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
