package rr

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// generate reads the text after $GENERATE, in BIND's form: START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE RDATA. The part
// after the range is an entry. It is made once for each number, with the number in place of each "$".
func (m *master) generate(text string) error {
	span, rest, _ := strings.Cut(text, " ")
	if i := strings.IndexByte(span, '\t'); i >= 0 {
		span, rest, _ = strings.Cut(text, "\t")
	}
	start, stop, step, err := parseRange(span)
	if err != nil {
		return m.fault(err)
	}
	pattern, err := parsePattern(strings.Trim(rest, " \t"))
	if err != nil {
		return m.fault(err)
	}
	var made []byte
	for i := start; i <= stop; i += step {
		made = pattern.appendFor(made[:0], i)
		if len(made) == 0 || made[0] == '$' {
			return m.fault(errors.New("$GENERATE: after the range comes an owner, and then the rest of a record"))
		}
		m.entry.text = append(m.entry.text[:0], made...)
		if err := m.record(m.entry.text); err != nil {
			return err
		}
	}
	return nil
}

func parseRange(span string) (start, stop, step int64, err error) {
	bad := fmt.Errorf("$GENERATE %s: write the range as START-STOP or START-STOP/STEP, for at most %d records", span,
		maxGenerate)
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, bad
	}
	to, by, stepped := strings.Cut(to, "/")
	if !stepped {
		by = "1"
	}
	var errs [3]error
	start, errs[0] = parseCount(from)
	stop, errs[1] = parseCount(to)
	step, errs[2] = parseCount(by)
	if errors.Join(errs[:]...) != nil || step == 0 || stop < start || (stop-start)/step >= maxGenerate {
		return 0, 0, 0, bad
	}
	return start, stop, step, nil
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int64(n), err
}

// pattern is text with places for a number.
type pattern []piece

// piece is literal text and, if base is set, a number after it.
type piece struct {
	literal string
	base    byte // 'd', 'o', 'x', 'X', 'n' or 'N'; 0: none
	offset  int64
	width   int
}

// parsePattern reads "$" and "${OFFSET[,WIDTH[,BASE]]}". "$$" and "\$" stand for "$" itself. Other escapes stay.
func parsePattern(s string) (pattern, error) {
	var p pattern
	var literal strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			literal.WriteString(s[i : i+2])
			i++
		case s[i] != '$':
			literal.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '$':
			literal.WriteString(`\$`)
			i++
		default:
			made := piece{literal: literal.String(), base: 'd'}
			literal.Reset()
			if i+1 < len(s) && s[i+1] == '{' {
				modifier, _, ok := strings.Cut(s[i+2:], "}")
				if !ok {
					return nil, fmt.Errorf(`$GENERATE: %q: "}" is missing`, s[i:])
				}
				if err := made.modify(modifier); err != nil {
					return nil, err
				}
				i += len(modifier) + 2
			}
			p = append(p, made)
		}
	}
	return append(p, piece{literal: literal.String()}), nil
}

func (p *piece) modify(modifier string) error {
	bad := fmt.Errorf("$GENERATE: ${%s}: write ${OFFSET,WIDTH,BASE}, BASE one of d, o, x, X, n, N", modifier)
	fields := strings.Split(modifier, ",")
	offset, err := strconv.ParseInt(fields[0], 10, 32)
	if err != nil || len(fields) > 3 {
		return bad
	}
	p.offset = offset
	if len(fields) > 1 {
		width, err := strconv.ParseUint(fields[1], 10, 8)
		if err != nil {
			return bad
		}
		p.width = int(width)
	}
	if len(fields) > 2 {
		if len(fields[2]) != 1 || !strings.Contains("doxXnN", fields[2]) {
			return bad
		}
		p.base = fields[2][0]
	}
	return nil
}

func (p pattern) appendFor(dst []byte, i int64) []byte {
	for _, piece := range p {
		dst = append(dst, piece.literal...)
		if piece.base != 0 {
			dst = piece.appendNumber(dst, i+piece.offset)
		}
	}
	return dst
}

func (p piece) appendNumber(dst []byte, n int64) []byte {
	switch p.base {
	case 'o':
		return fmt.Appendf(dst, "%0*o", p.width, n)
	case 'x':
		return fmt.Appendf(dst, "%0*x", p.width, n)
	case 'X':
		return fmt.Appendf(dst, "%0*X", p.width, n)
	case 'n', 'N':
		return p.appendNibbles(dst, n)
	}
	return fmt.Appendf(dst, "%0*d", p.width, n)
}

// appendNibbles writes hexadecimal digits, the lowest first, with dots between them, as in ip6.arpa. The width includes
// the dots.
func (p piece) appendNibbles(dst []byte, n int64) []byte {
	digits := "0123456789abcdef"
	if p.base == 'N' {
		digits = "0123456789ABCDEF"
	}
	rest := uint64(max(n, 0))
	for written := 0; ; {
		dst = append(dst, digits[rest&15])
		rest >>= 4
		written++
		if rest == 0 && written >= p.width {
			return dst
		}
		dst = append(dst, '.')
		written++
		if rest == 0 && written >= p.width {
			return dst
		}
	}
}
