package rr

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// directive reads an entry that begins with "$".
func (m *master) directive(text string) error {
	verb, rest := cutToken([]byte(text))
	var fields []string
	for token, rest := cutToken(rest); len(token) > 0; token, rest = cutToken(rest) {
		fields = append(fields, string(token))
	}
	var err error
	switch strings.ToUpper(string(verb)) {
	case "$ORIGIN":
		if len(fields) != 1 {
			return m.fault(errors.New("$ORIGIN: it takes one name"))
		}
		var origin Name
		if origin, err = ParseRelative(fields[0], m.origin); err == nil {
			m.origin, m.ownerRaw = origin, nil // the same token is another name from here on
		}
	case "$TTL":
		if len(fields) != 1 {
			return m.fault(errors.New("$TTL: it takes one time"))
		}
		if m.ttl, err = parseTTL([]byte(fields[0])); err == nil {
			m.hasTTL, m.fixedTTL = true, true
		}
	case "$INCLUDE":
		return m.include(fields)
	case "$GENERATE":
		return m.generate(string(bytes.Trim(rest, " \t")))
	default:
		err = fmt.Errorf("directive %s: there are $ORIGIN, $TTL, $INCLUDE and $GENERATE; "+
			`an owner that begins with "$" is written with \$`, verb)
	}
	if err != nil {
		return m.fault(err)
	}
	return nil
}

// include reads another file in place (RFC 1035 section 5.1). Its $ORIGIN, $TTL and last owner do not outlive it.
func (m *master) include(fields []string) error {
	inner, f, err := m.open(fields)
	if err != nil {
		return m.fault(err)
	}
	defer f.Close()
	return inner.read(f)
}

func (m *master) open(fields []string) (*master, fs.File, error) {
	if len(fields) != 1 && len(fields) != 2 {
		return nil, nil, errors.New("$INCLUDE: it takes a file, and after it an origin if that is to be another")
	}
	if m.folder == nil {
		return nil, nil, errors.New("$INCLUDE: not allowed here; put the records into the file itself")
	}
	if m.depth+1 >= maxInclude {
		return nil, nil, fmt.Errorf("$INCLUDE %s: more than %d files deep; does it include itself?", fields[0],
			maxInclude)
	}
	name := strings.Trim(fields[0], `"`)
	place := path.Join(path.Dir(m.place), name)
	if path.IsAbs(name) || strings.Contains(name, `\`) || !fs.ValidPath(place) || place == "." {
		return nil, nil, fmt.Errorf("$INCLUDE %s: not a file within the folder; give its path relative to this file's",
			fields[0])
	}
	origin := m.origin
	if len(fields) == 2 {
		var err error
		if origin, err = ParseRelative(fields[1], m.origin); err != nil {
			return nil, nil, fmt.Errorf("$INCLUDE: origin: %w", err)
		}
	}
	f, err := m.folder.Open(place)
	if err != nil {
		return nil, nil, fmt.Errorf("$INCLUDE: %w", err)
	}
	return &master{
		file: path.Join(path.Dir(m.file), name), place: place, folder: m.folder, depth: m.depth + 1, each: m.each,
		wrong: m.wrong,
		apex:  m.apex, zone: m.zone,
		origin: origin, owner: m.owner, lost: m.lost, ttl: m.ttl, hasTTL: m.hasTTL, fixedTTL: m.fixedTTL,
	}, f, nil
}
