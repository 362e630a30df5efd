package config

import (
	"fmt"
	"strings"
)

// unknown says that a key is not known, and what may have been meant.
func unknown(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("is not known: did you mean %s?", near)
	}
	return "is not known"
}

// nearest gives the known name that a key was most likely meant to be, or "".
func nearest(key string, known []string) string {
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	if len(key) > maxKey {
		return ""
	}
	best, least := "", 1+max(1, len(key)/4)
	for _, name := range known {
		if d := distance(key, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return best
	}
	for _, name := range known {
		if strings.HasPrefix(name, key+"_") || strings.HasPrefix(key, name+"_") {
			return name
		}
	}
	return ""
}

// distance is the number of letters to add, drop, change or swap with a
// neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
