package rr

import "strings"

// Compare orders names canonically (RFC 4034 section 6.1): label by label from the right, each as a string of octets, a
// missing label first. It returns -1, 0 or +1.
func (n Name) Compare(m Name) int {
	if n == m {
		return 0
	}
	var a, b [MaxName / 2]uint8 // where each label begins
	i, j := labelStarts(&a, n), labelStarts(&b, m)
	for i > 0 && j > 0 {
		i--
		j--
		x, y := n[a[i]:], m[b[j]:]
		if c := strings.Compare(string(x[1:1+x[0]]), string(y[1:1+y[0]])); c != 0 {
			return c
		}
	}
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func labelStarts(starts *[MaxName / 2]uint8, n Name) int {
	count := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		starts[count] = uint8(i)
		count++
	}
	return count
}
