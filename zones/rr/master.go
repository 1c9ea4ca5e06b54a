package rr

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// RR is a resource record of a master file. Class is always IN.
type RR struct {
	Owner Name
	Type  Type
	TTL   uint32 // seconds
	Data  []byte // RDATA in wire form
	Text  string // RDATA in presentation form, names in full
	File  string // the file that it is in: the one given to ReadMaster, or an included one
	Line  int    // the line that it begins on, from 1
	Cut   bool   // a string of more than 255 octets has been cut into several

	// Dotless is a name in RDATA, or else the owner, that was written without its final dot and ends in the zone's own
	// name, so that it stands for one that has that twice; "": none.
	Dotless string
}

// SyntaxError says what is wrong in a master file, and where.
type SyntaxError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *SyntaxError) Error() string {
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// Limits of one master file.
const (
	maxInclude  = 8     // files deep
	maxGenerate = 65536 // records of one $GENERATE
	maxEntry    = 1 << 20
	maxTTL      = 1<<31 - 1 // RFC 2181 section 8
)

// ReadMaster reads a master file (RFC 1035 section 5) as a stream and calls each for every record in the order of the
// file. It understands $ORIGIN, $TTL (RFC 2308), $INCLUDE and $GENERATE, TTLs with units ("1h30m"), and takes an
// omitted TTL from $TTL, else from the record before, else, for a SOA, from its MINIMUM.
//
// The file is named only in errors, which are all of type *SyntaxError: "file:line: what". $INCLUDE opens files in
// the folder, relative to the including file, which for the outermost is the folder's root. A path cannot leave the
// folder, but a symbolic link can unless the folder is that of an os.Root. With a nil folder $INCLUDE is refused. An
// error of each ends the reading and is returned as it is. Records' owners are not checked to be below the origin.
//
// With a nil wrong, the reading ends at the first entry that cannot be read. Otherwise it calls wrong for each and
// goes on, so that everything that is wrong with a file is found at once; an error of wrong ends the reading and is
// returned as it is. Records that take their owner from an entry whose owner could not be read are checked, but not
// passed on. An input that fails, a line or an entry without end, and a parenthesis that is open at the end always
// end the reading.
func ReadMaster(r io.Reader, origin Name, file string, folder fs.FS, each func(RR) error,
	wrong func(*SyntaxError) error,
) error {
	m := master{
		file: file, origin: origin, apex: origin, zone: TrimDot(origin.String()), folder: folder, each: each,
		wrong: wrong,
	}
	return m.read(r)
}

// master reads one file.
type master struct {
	file   string // as errors name it
	apex   Name   // the origin that the outermost file began with
	zone   string // the same in presentation form, without its final dot
	place  string // within folder
	folder fs.FS
	depth  int
	each   func(RR) error
	wrong  func(*SyntaxError) error // nil: the first fault ends the reading

	entry    entry
	spoiled  bool // a line of the entry could not be read: the rest of it is passed over
	lost     bool // the last owner could not be read, so records that inherit it have no owner
	line     int  // being read
	first    int  // of the entry
	origin   Name
	owner    Name // of the last record; "" before the first
	ownerRaw []byte
	ttl      uint32
	hasTTL   bool
	fixedTTL bool // $TTL was given, so a record's own TTL does not apply to the next one
}

func (m *master) read(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	var long []byte // a line longer than the buffer
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) > maxEntry {
				m.first = m.line + 1
				return m.fault(fmt.Errorf("a line of more than %d octets; is this a master file?", maxEntry))
			}
			continue
		}
		if long != nil {
			line, long = append(long, line...), nil
		}
		if err != nil && err != io.EOF {
			m.first = m.line + 1
			return m.fault(err)
		}
		if len(line) > 0 {
			m.line++
			if err := m.add(bytes.TrimRight(line, "\r\n")); err != nil {
				if err = m.report(err); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			break
		}
	}
	if m.entry.depth > 0 {
		return m.fault(errors.New("a parenthesis is left open until the end of the file"))
	}
	return nil
}

// add takes the next line, and reads the entry if the line completes it.
func (m *master) add(line []byte) error {
	if m.entry.depth == 0 {
		m.first, m.spoiled = m.line, false
		m.entry.reset()
	}
	switch err := m.entry.add(line); {
	case m.spoiled: // it has been said
		m.entry.text = m.entry.text[:0]
		return nil
	case err != nil:
		m.spoiled = true
		return m.fault(err)
	}
	if m.entry.depth > 0 {
		if len(m.entry.text) > maxEntry {
			return &endless{m.fault(fmt.Errorf("an entry of more than %d octets; is a parenthesis left open?",
				maxEntry))}
		}
		return nil
	}
	text := m.entry.text
	if len(text) > 0 && text[0] == '$' {
		return m.directive(string(text))
	}
	return m.record(text)
}

func (m *master) fault(err error) error {
	return &SyntaxError{File: m.file, Line: m.first, Err: err}
}

// endless is a fault after which no next entry can be found.
type endless struct{ error }

func (e *endless) Unwrap() error { return e.error }

// report passes a fault on. It returns nil if the reading should go on.
func (m *master) report(err error) error {
	if e, is := err.(*endless); is {
		return e.error
	}
	fault, is := err.(*SyntaxError) // what each returns is its own, whatever it wraps
	if !is || m.wrong == nil {
		return err
	}
	return m.wrong(fault)
}

// record reads [owner] [TTL] [class] type RDATA, TTL and class in either order.
func (m *master) record(text []byte) error {
	var token []byte
	dotless := ""
	if len(text) > 0 && !isBlank(text[0]) {
		token, text = cutToken(text)
		if len(token) >= len(m.zone) && EndsIn(string(token), m.zone) {
			dotless = string(token)
		}
		if m.owner == "" || !bytes.Equal(token, m.ownerRaw) {
			var buf [MaxName]byte
			n, err := parseName(&buf, token, m.origin, true)
			if m.lost = err != nil; m.lost {
				m.ownerRaw = m.ownerRaw[:0]
				return m.fault(err)
			}
			m.owner, m.ownerRaw = Name(buf[:n]), append(m.ownerRaw[:0], token...)
		}
		m.lost = false
	}
	rr := RR{Owner: m.owner, File: m.file, Line: m.first, Dotless: dotless}
	var hasTTL, hasClass bool
	for {
		if token, text = cutToken(text); len(token) == 0 {
			if len(bytes.Trim(m.entry.text, " \t")) == 0 {
				return nil // an empty line, or a comment
			}
			return m.fault(errors.New("the entry ends before its type"))
		}
		if !hasTTL && '0' <= token[0] && token[0] <= '9' {
			var err error
			if rr.TTL, err = parseTTL(token); err != nil {
				return m.fault(err)
			}
			hasTTL = true
			continue
		}
		if class, is := parseClass(token); is && !hasClass {
			if !class {
				return m.fault(fmt.Errorf("class %s: only IN is served", token))
			}
			hasClass = true
			continue
		}
		break
	}
	if rr.Owner == "" && !m.lost {
		return m.fault(errors.New("the first record has no owner; begin its line with a name, or @ for the origin"))
	}
	var err error
	if rr.Type, err = parseTypeToken(token); err != nil {
		return m.fault(err)
	}
	rr.Text = string(bytes.Trim(text, " \t"))
	rr.Cut = HasLongString(rr.Type, rr.Text)
	if name := Dotless(rr.Type, rr.Text, m.zone); name != "" {
		rr.Dotless = name
	}
	if rr.Dotless != "" && !m.origin.Under(m.apex) {
		rr.Dotless = "" // as in files that BIND writes: below "$ORIGIN ." the zone's name is there only once
	}
	if rr.Data, err = parseData(rr.Type, rr.Text, m.origin); err != nil {
		return m.fault(err)
	}
	if rr.Text, err = formatAs(rr.Type, rr.Data, rr.Text); err != nil {
		return m.fault(err)
	}
	switch {
	case hasTTL:
		if !m.fixedTTL {
			m.ttl, m.hasTTL = rr.TTL, true
		}
	case m.hasTTL:
		rr.TTL = m.ttl
	case rr.Type == TypeSOA:
		minimum := rr.Data[len(rr.Data)-4:]
		rr.TTL = uint32(minimum[0])<<24 | uint32(minimum[1])<<16 | uint32(minimum[2])<<8 | uint32(minimum[3])
		if rr.TTL > maxTTL {
			return m.fault(fmt.Errorf("TTL %d of the SOA, from its MINIMUM: more than %d s", rr.TTL, maxTTL))
		}
		m.ttl, m.hasTTL = rr.TTL, true
	default:
		return m.fault(errors.New("no TTL, and none before it to go by; begin the file with $TTL 300 or the like"))
	}
	if m.lost {
		return nil
	}
	return m.each(rr)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// cutToken cuts off the next token, up to a blank that is neither escaped nor quoted. At the end the token is empty.
func cutToken(text []byte) (token, rest []byte) {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case isBlank(c) && !quoted:
			return text[:i], text[i:]
		}
	}
	return text, nil
}

// parseTypeToken is ParseType, but makes no string for the most frequent types.
func parseTypeToken(token []byte) (Type, error) {
	switch string(token) {
	case "A":
		return TypeA, nil
	case "AAAA":
		return TypeAAAA, nil
	}
	return ParseType(string(token))
}

// parseClass reports whether the token is a class at all, and whether it is IN.
func parseClass(token []byte) (in, is bool) {
	switch string(token) {
	case "IN", "in", "In", "iN":
		return true, true
	}
	switch upper := strings.ToUpper(string(token)); upper {
	case "CLASS1":
		return true, true
	case "CH", "HS", "CS", "NONE":
		return false, true
	default:
		return false, strings.HasPrefix(upper, "CLASS")
	}
}

// parseTTL reads seconds, or numbers with the units w, d, h, m and s ("1h30m").
func parseTTL(token []byte) (uint32, error) {
	var total, number uint64
	digits := false
	for _, c := range token {
		var unit uint64
		switch c | 0x20 {
		case 's':
			unit = 1
		case 'm':
			unit = 60
		case 'h':
			unit = 3600
		case 'd':
			unit = 86400
		case 'w':
			unit = 7 * 86400
		}
		switch {
		case '0' <= c && c <= '9':
			number, digits = number*10+uint64(c-'0'), true
		case unit > 0 && digits:
			total, number, digits = total+number*unit, 0, false
		default:
			return 0, fmt.Errorf("TTL %q: write seconds, or units as in 1h30m", token)
		}
		if number > maxTTL || total > maxTTL {
			break
		}
	}
	if total += number; total > maxTTL {
		return 0, fmt.Errorf("TTL %q: more than %d s", token, maxTTL)
	}
	return uint32(total), nil
}

// formatAs is FormatData for data that was just read from text. It returns that text if there is no other form.
func formatAs(t Type, data []byte, text string) (string, error) {
	if t == TypeA && !strings.HasPrefix(text, `\`) {
		return text, nil // an IPv4 address has one form only
	}
	return FormatData(t, data)
}
