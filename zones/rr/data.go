package rr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// maxData is the largest size of RDATA in octets: RDLENGTH has 16 bits.
const maxData = 1<<16 - 1

// ParseData reads RDATA in presentation form and returns its wire form, uncompressed. Names in it that do not end in a
// dot are below the origin; without an origin ("") they are an error. RFC 3597's \# LENGTH HEX is understood for every
// type. With parentheses it may have several lines. An unquoted ";" is an error: in a master file it would begin a
// comment and swallow the rest, and people write TXT values without quotes. In TXT and similar types a string of more
// than 255 octets is cut into several; HasLongString reports that.
func ParseData(t Type, text string, origin Name) ([]byte, error) {
	if data, err, done := parseSimple(t, text, origin); done {
		return data, err
	}
	var e entry
	for i, line := range strings.Split(strings.Trim(text, " \t\r\n"), "\n") {
		if i > 0 && e.depth == 0 {
			return nil, fmt.Errorf("%s data %q: more than one line; put what belongs together in parentheses", t, text)
		}
		if err := e.add([]byte(line)); err != nil {
			return nil, fmt.Errorf("%s data %q: %w", t, text, err)
		}
	}
	switch {
	case e.depth > 0:
		return nil, fmt.Errorf("%s data %q: a parenthesis is left open", t, text)
	case e.comment:
		return nil, fmt.Errorf(`%s data %q: ";" outside of quotes; put the text in quotes, or write \;`, t, text)
	}
	return parseData(t, string(e.text), origin)
}

// parseData reads RDATA that is one line without comments and parentheses.
func parseData(t Type, text string, origin Name) ([]byte, error) {
	text = strings.Trim(text, " \t")
	switch {
	case !t.Storable():
		return nil, fmt.Errorf("type %s: it exists in queries only; a zone cannot hold it", t)
	case text == "":
		return nil, fmt.Errorf("%s: no data", t)
	}
	if rest, ok := strings.CutPrefix(text, `\#`); ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t') {
		return parseUnknown(t, rest)
	}
	if data, err, done := parseSimple(t, text, origin); done {
		return data, err
	}
	if _, known := dns.TypeToRR[uint16(t)]; !known {
		return nil, fmt.Errorf(`%s data %q: the format of this type is not known; write it as \# LENGTH HEX (RFC 3597)`,
			t, text)
	}
	if want, got := fewestFields(t), countFields(text); got < want {
		return nil, fmt.Errorf("%s data %q: %d fields, and it takes %d", t, text, got, want)
	}
	if err := checkEscapes(text); err != nil {
		return nil, fmt.Errorf("%s data %q: %w", t, text, err)
	}
	text = cutStrings(t, text)
	base := ""
	if origin != "" {
		base = string(appendName(nil, origin))
	}
	parser := dns.NewZoneParser(strings.NewReader(". 0 IN "+t.String()+" "+text+"\n"), base, "")
	record, ok := parser.Next()
	if err := parser.Err(); err != nil || !ok {
		return nil, fmt.Errorf("%s data %q: %s", t, text, grammarError(err, origin))
	}
	data, err := pack(record)
	if err != nil {
		return nil, fmt.Errorf("%s data %q: %s", t, text, grammarError(err, origin))
	}
	// The parser lets some things pass that are not RDATA of the type (RFC 2136 has records without any).
	if _, err := unpack(t, data, 0); err != nil {
		return nil, fmt.Errorf("%s data %q: %s", t, text, grammarError(err, origin))
	}
	return data, nil
}

// fewestFields returns the least number of fields of types whose parser takes missing fields for zero or empty.
func fewestFields(t Type) int {
	switch t {
	case TypeSOA:
		return 7
	case TypeNSEC3:
		return 5
	case TypeDS, TypeCDS, TypeDNSKEY, TypeCDNSKEY, TypeTLSA, TypeNSEC3PARAM,
		Type(dns.TypeKEY), Type(dns.TypeDLV), Type(dns.TypeSMIMEA), Type(dns.TypeCERT), Type(dns.TypeZONEMD):
		return 4
	case TypeSSHFP:
		return 3
	case TypeHINFO:
		return 2
	}
	return 1
}

func countFields(text string) int {
	count := 0
	for token, rest := cutToken([]byte(text)); len(token) > 0; token, rest = cutToken(rest) {
		count++
	}
	return count
}

// parseSimple reads the most frequent data: addresses and single names. done is false if the type is none of these, or
// if the text needs the whole grammar.
func parseSimple(t Type, text string, origin Name) (data []byte, err error, done bool) {
	switch t {
	case TypeA, TypeAAAA:
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.Is4() != (t == TypeA) {
			if text == "" || strings.ContainsAny(text, " \t\r\n()\"\\;") {
				return nil, nil, false
			}
			return nil, fmt.Errorf("%s data %q: not an %s address", t, text, family(t)), true
		}
		return addr.AsSlice(), nil, true
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME:
		if text == "" || strings.ContainsAny(text, " \t\r\n()\";") || strings.HasPrefix(text, `\#`) {
			return nil, nil, false
		}
		var buf [MaxName]byte
		n, err := parseName(&buf, text, origin, false)
		if err != nil {
			return nil, fmt.Errorf("%s data: %w", t, err), true
		}
		return bytes.Clone(buf[:n]), nil, true
	}
	return nil, nil, false
}

func family(t Type) string {
	if t == TypeA {
		return "IPv4"
	}
	return "IPv6"
}

// parseUnknown reads the text after \# (RFC 3597 section 5). If the type's format is known, the data must be
// well-formed.
func parseUnknown(t Type, text string) ([]byte, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, fmt.Errorf(
			`%s data: after \# comes the number of octets, and then the octets in hexadecimal (RFC 3597)`, t,
		)
	}
	length, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return nil, fmt.Errorf(`%s data: length %q after \#: not a number from 0 to %d`, t, fields[0], maxData)
	}
	data, err := hex.DecodeString(strings.Join(fields[1:], ""))
	if err != nil {
		return nil, fmt.Errorf(`%s data after \#: %w`, t, err)
	}
	if len(data) != int(length) {
		return nil, fmt.Errorf(`%s data after \#: it says %d octets, and has %d`, t, length, len(data))
	}
	if err := Check(t, data); err != nil {
		return nil, fmt.Errorf(`%s data after \#: %w`, t, err)
	}
	return data, nil
}

// Check returns an error if RDATA in wire form is wrong: if the type's format is known, it must be well-formed, and
// names in it must be uncompressed.
func Check(t Type, data []byte) error {
	if !t.Storable() {
		return fmt.Errorf("type %s: it exists in queries only; a zone cannot hold it", t)
	}
	if checkSimple(t, data) {
		return nil
	}
	record, err := unpack(t, data, 0)
	if err != nil || record == nil {
		return err
	}
	if lacks(record, len(data)) {
		return errors.New("it ends before all its fields are there")
	}
	// Read again where no compression pointer can reach it, and all that one can point at is another pointer.
	if _, err := unpack(t, data, maxPointer+1); err != nil {
		return errors.New("it has a compressed name in it (RFC 3597 section 4); write the name in full")
	}
	return nil
}

// checkSimple reports whether RDATA of the most frequent types is well-formed. If it is not, or is of another type, the
// grammar of the type decides.
func checkSimple(t Type, data []byte) bool {
	switch t {
	case TypeA:
		return len(data) == 4
	case TypeAAAA:
		return len(data) == 16
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME:
		end, err := nameEnd(data)
		return err == nil && end == len(data)
	case TypeMX, TypeSRV:
		before := 2
		if t == TypeSRV {
			before = 6
		}
		end, err := nameEnd(data[min(before, len(data)):])
		return err == nil && before+end == len(data)
	case TypeDNSKEY, TypeCDNSKEY, TypeDS, TypeCDS:
		return len(data) >= 4
	case TypeRRSIG: // the most frequent type of a signed zone
		end, err := nameEnd(data[min(18, len(data)):])
		return err == nil && 18+end < len(data)
	case TypeTXT:
		at := 0
		for at < len(data) {
			at += 1 + int(data[at])
		}
		return at > 0 && at == len(data)
	}
	return false
}

// lacks reports whether a record that was read from that many octets has fields that were not there: the parser takes
// missing fields at the end for zero or empty.
func lacks(record dns.RR, octets int) bool {
	v := reflect.ValueOf(record).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		tag := f.Tag.Get("dns")
		name := (tag == "domain-name" || tag == "cdomain-name") && f.Type.Kind() == reflect.String
		if name && v.FieldByIndex(f.Index).String() == "" {
			return true
		}
	}
	switch r := record.(type) { // what has a length before it
	case *dns.NSEC3PARAM:
		if len(r.Salt) != 2*int(r.SaltLength) {
			return true
		}
	case *dns.NSEC3:
		if len(r.Salt) != 2*int(r.SaltLength) || len(r.NextDomain) < (8*int(r.HashLength)+4)/5 {
			return true
		}
	}
	whole, err := pack(record)
	return err == nil && len(whole) > octets
}

const maxPointer = 0x3fff // RFC 1035 section 4.1.4

// unpack reads wire form as if it were at that offset of a message. It returns nil without an error if the type's
// format is not known, or if the type may have no data at all.
func unpack(t Type, data []byte, offset int) (dns.RR, error) {
	if len(data) > maxData {
		return nil, fmt.Errorf("%d octets; the most is %d", len(data), maxData)
	}
	if _, known := dns.TypeToRR[uint16(t)]; !known || t == Type(dns.TypeNULL) {
		return nil, nil
	}
	if len(data) == 0 {
		if t == Type(dns.TypeAPL) {
			return nil, nil
		}
		return nil, errors.New("no data")
	}
	header := dns.RR_Header{Name: ".", Rrtype: uint16(t), Class: dns.ClassINET, Rdlength: uint16(len(data))}
	msg := data
	if offset > 0 {
		msg = append(bytes.Repeat([]byte{0xff}, offset), data...)
	}
	record, _, err := dns.UnpackRRWithHeader(header, msg, offset)
	if err != nil {
		return nil, fmt.Errorf("not well-formed: %s", grammarError(err, Root))
	}
	return record, nil
}

// pack returns a record's RDATA in wire form, uncompressed.
func pack(record dns.RR) ([]byte, error) {
	const header = 1 + 10 // the root as owner, TYPE, CLASS, TTL, RDLENGTH
	record.Header().Name = "."
	buf := make([]byte, dns.Len(record)+header)
	for {
		end, err := dns.PackRR(record, buf, 0, nil, false)
		if err == nil {
			return bytes.Clone(buf[header:end]), nil
		}
		if len(buf) > maxData { // not for want of room
			return nil, err
		}
		buf = make([]byte, maxData+1+header)
	}
}

// grammarError words the error of a type's parser: without the parser's line number, which is that of a line that
// nobody wrote, and with the likeliest remedy.
func grammarError(err error, origin Name) string {
	if err == nil {
		return "not a record"
	}
	text := strings.TrimPrefix(err.Error(), "dns: ")
	if i := strings.LastIndex(text, " at line: "); i >= 0 {
		text = text[:i]
	}
	text = strings.TrimSuffix(text, `: "\n"`)
	if origin == "" {
		text += " (there is no origin here, so names must end in a dot)"
	}
	return text
}

// FormatData returns RDATA in presentation form, with names in full and their final dot. ParseData always reads the
// result back as the same octets: if the type's own form cannot do that, or is not known, FormatData uses the \# form
// of RFC 3597.
func FormatData(t Type, data []byte) (string, error) {
	switch t {
	case TypeA, TypeAAAA:
		if addr, ok := netip.AddrFromSlice(data); ok && addr.Is4() == (t == TypeA) {
			return addr.String(), nil
		}
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME:
		if end, err := nameEnd(data); err == nil && end == len(data) {
			return string(appendName(make([]byte, 0, len(data)+8), data)), nil
		}
	}
	record, err := unpack(t, data, 0)
	if err != nil {
		return "", fmt.Errorf("%s data: %w", t, err)
	}
	if record != nil {
		text := strings.TrimPrefix(record.String(), record.Header().String())
		if again, err := parseData(t, text, ""); err == nil && bytes.Equal(again, data) && singleLine(text) {
			return text, nil
		}
	}
	if len(data) == 0 {
		return `\# 0`, nil
	}
	return `\# ` + strconv.Itoa(len(data)) + " " + strings.ToUpper(hex.EncodeToString(data)), nil
}

// singleLine reports whether the text passes a master file's scanner unchanged.
func singleLine(text string) bool {
	var e entry
	return !strings.ContainsAny(text, "\r\n") && e.add([]byte(text)) == nil && string(e.text) == text
}
