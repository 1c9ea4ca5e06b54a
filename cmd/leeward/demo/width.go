package demo

import "strings"

// fit cuts each line of a text to so many columns. A line that was cut ends in an ellipsis, so that nothing of it looks
// whole. Colours take no column. 0 columns are any number.
func fit(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body, end := strings.CutSuffix(line, "\n")
		b.WriteString(cut(body, columns))
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// cut cuts one line.
func cut(line string, columns int) string {
	shown, escaped, coloured, last := 0, false, false, 0
	for i, r := range line {
		switch {
		case escaped:
			escaped = r == '[' || r < '@' || r > '~'
		case r == '\x1b':
			escaped, coloured = true, true
		case shown == columns:
			if coloured {
				return line[:last] + "…\x1b[0m"
			}
			return line[:last] + "…"
		default:
			last = i
			shown++
		}
	}
	return line
}
