package rr

import "errors"

// entry is one entry of a master file (RFC 1035 section 5.1). Its lines are joined into one, without comments and
// parentheses. Quoted strings and escapes stay as they are.
type entry struct {
	text    []byte
	depth   int  // of parentheses
	comment bool // there was one
}

func (e *entry) reset() { *e = entry{text: e.text[:0]} }

// add takes the next line, without its line ending. The entry is complete when depth is 0.
func (e *entry) add(line []byte) error {
	if len(e.text) > 0 {
		e.text = append(e.text, ' ')
	}
	quoted := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\':
			if i+1 == len(line) {
				return errors.New(`"\" at the end of a line; take it out, or write what it should escape`)
			}
			e.text = append(e.text, c, line[i+1])
			i++
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case isBlank(c) && len(e.text) == 0 && e.depth > 0:
			continue
		case c == ';':
			e.comment = true
			return nil
		case c == '(':
			e.depth++
			if len(e.text) == 0 { // before an owner, not in the place of one
				continue
			}
			c = ' '
		case c == ')':
			if e.depth == 0 {
				return errors.New(`")" without its "("`)
			}
			e.depth--
			c = ' '
		case c == '\r':
			c = ' '
		}
		e.text = append(e.text, c)
	}
	if quoted {
		return errors.New("a quote is left open at the end of the line")
	}
	return nil
}
