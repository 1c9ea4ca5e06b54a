package document

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// octets notes where the first octets are that YAML cannot have, as the yaml package does not say where they are.
type octets struct {
	r    io.Reader
	rest []byte // a character of which more is to come
	line int    // lines that have ended
	what string // what is wrong in the line after them; "": nothing so far
}

func (o *octets) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if o.what == "" {
		o.look(append(o.rest, p[:n]...), err != nil)
	}
	return n, err
}

func (o *octets) look(text []byte, last bool) {
	for len(text) > 0 && (last || utf8.FullRune(text)) {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n':
			o.line++
		case r == utf8.RuneError && size == 1:
			o.what = fmt.Sprintf("the octet 0x%02x is not UTF-8; save the file as UTF-8", text[0])
			return
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85:
			o.what = fmt.Sprintf("the control character U+%04X is not allowed; take it out", r)
			return
		}
		text = text[size:]
	}
	o.rest = append([]byte(nil), text...)
}

// where makes the error of the yaml package say which line has such octets.
func (o *octets) where(err *syntaxError) *syntaxError {
	if err.line == 0 && o.what != "" {
		return &syntaxError{o.line + 1, o.what}
	}
	return err
}
