package tsig

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"leeward/zones/disk"
)

// mostText is the size of the largest file of keys, in octets.
const mostText = 1 << 20

// ReadFiles reads all keys of some files, as Parse does, into one ring.
func ReadFiles(files ...string) (*Ring, error) {
	var keys []*Key
	where := map[string]string{}
	for _, file := range files {
		text, err := disk.Read(file, mostText)
		if err != nil {
			return nil, fmt.Errorf("TSIG keys: %w", err)
		}
		more, err := Parse(file, string(text))
		if err != nil {
			return nil, err
		}
		for _, k := range more {
			if other := where[k.Name]; other != "" {
				return nil, fmt.Errorf("%s: key %q is in %s too; take one out", file, k.Name, other)
			}
			where[k.Name] = file
		}
		keys = append(keys, more...)
	}
	return NewRing(keys...)
}

// Parse reads the statements of a key file as BIND has them and tsig-keygen writes them:
//
//	key "name" { algorithm hmac-sha256; secret "base64"; };
//
// Comments are those of BIND. An algorithm may have a number of bits to which MACs are cut, as in hmac-sha256-128.
// Errors say the file and the line.
func Parse(file, text string) ([]*Key, error) {
	p := &parser{file: file, text: text, line: 1}
	var keys []*Key
	seen := map[string]int{}
	for {
		word, err := p.next()
		if err != nil {
			return nil, err
		}
		line := p.line
		switch {
		case word.end:
			return keys, nil
		case word.is("key"):
		default:
			return nil, p.fail(line, "%q: a key file holds only statements such as key \"name\" { algorithm "+
				"hmac-sha256; secret \"…\"; };", word.text)
		}
		k, err := p.key()
		if err != nil {
			return nil, err
		}
		if first := seen[k.wire]; first != 0 {
			return nil, p.fail(line, "key %q is there already, in line %d; take one out", k.Name, first)
		}
		seen[k.wire] = line
		keys = append(keys, k)
	}
}

// key reads a statement after its first word.
func (p *parser) key() (*Key, error) {
	name, err := p.word("the key's name")
	if err != nil {
		return nil, err
	}
	line := p.line
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	var secret []byte
	algorithm, bits, known := SHA256, 0, false
	for {
		w, err := p.next()
		if err != nil {
			return nil, err
		}
		switch {
		case w.mark && w.text == "}":
			if err := p.expect(";"); err != nil {
				return nil, err
			}
			if !known {
				return nil, p.fail(line, "key %q has no algorithm; write algorithm hmac-sha256;", name)
			}
			if secret == nil {
				return nil, p.fail(line, "key %q has no secret; tsig-keygen makes one", name)
			}
			k, err := NewKey(name, algorithm, secret)
			if err != nil {
				return nil, p.fail(line, "%v", err)
			}
			if bits > 0 {
				k.size = bits / 8
			}
			return k, nil
		case w.is("algorithm"):
			text, err := p.word("an algorithm")
			if err != nil {
				return nil, err
			}
			if known {
				return nil, p.fail(p.line, "key %q has two algorithms; take one out", name)
			}
			if algorithm, bits, err = readAlgorithm(text); err != nil {
				return nil, p.fail(p.line, "key %q: %v", name, err)
			}
			known = true
		case w.is("secret"):
			text, err := p.word("a secret")
			if err != nil {
				return nil, err
			}
			if secret != nil {
				return nil, p.fail(p.line, "key %q has two secrets; take one out", name)
			}
			secret, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			if err != nil || len(secret) == 0 {
				return nil, p.fail(p.line, "key %q: the secret is not base64", name) // and is not shown
			}
		case w.end:
			return nil, p.fail(p.line, "key %q is not closed; end it with };", name)
		default:
			return nil, p.fail(p.line, "key %q: %q is unknown; a key has an algorithm and a secret", name, w.text)
		}
		if err := p.expect(";"); err != nil {
			return nil, err
		}
	}
}

// readAlgorithm reads the name of an algorithm, with or without the number of bits to which MACs are cut.
func readAlgorithm(text string) (Algorithm, int, error) {
	base := strings.TrimSuffix(strings.ToLower(text), ".")
	for i, a := range algorithms {
		rest, ok := strings.CutPrefix(base, a.name)
		if !ok || rest != "" && rest[0] != '-' {
			continue
		}
		if rest == "" {
			return Algorithm(i), 0, nil
		}
		bits, err := strconv.Atoi(rest[1:])
		if err != nil || bits%8 != 0 || bits < max(80, a.size*4) || bits > a.size*8 {
			return 0, 0, fmt.Errorf("algorithm %q: %s can be cut to %d to %d bits, in steps of 8", text, a.name,
				max(80, a.size*4), a.size*8)
		}
		return Algorithm(i), bits, nil
	}
	if strings.HasPrefix(base, "hmac-md5") || base == "hmac-sha1" {
		return 0, 0, fmt.Errorf("algorithm %q is too weak to be taken (RFC 8945 section 6); make a new key with "+
			"hmac-sha256", text)
	}
	return 0, 0, fmt.Errorf("algorithm %q is unknown; take hmac-sha256, hmac-sha384 or hmac-sha512", text)
}

// parser splits a file into words.
type parser struct {
	file, text string
	at, line   int
}

// token is a word, a string in quotes, or one of the marks { } ;
type token struct {
	text      string
	mark, end bool
	quoted    bool
}

func (t token) is(word string) bool { return !t.mark && !t.quoted && t.text == word }

func (p *parser) fail(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...))
}

func (p *parser) word(what string) (string, error) {
	t, err := p.next()
	if err == nil && (t.end || t.mark || t.text == "") {
		err = p.fail(p.line, "%s is missing", what)
	}
	return t.text, err
}

func (p *parser) expect(mark string) error {
	t, err := p.next()
	if err == nil && !(t.mark && t.text == mark) {
		err = p.fail(p.line, "a %q is missing", mark)
	}
	return err
}

// next returns the next token; spaces and comments are skipped.
func (p *parser) next() (token, error) {
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		switch c := rest[0]; {
		case c == '\n':
			p.line++
			p.at++
		case c == ' ' || c == '\t' || c == '\r':
			p.at++
		case c == '#' || strings.HasPrefix(rest, "//"):
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				p.at += i
			} else {
				p.at = len(p.text)
			}
		case strings.HasPrefix(rest, "/*"):
			i := strings.Index(rest, "*/")
			if i < 0 {
				return token{}, p.fail(p.line, "a comment is not closed; end it with */")
			}
			p.line += strings.Count(rest[:i], "\n")
			p.at += i + 2
		case c == '{' || c == '}' || c == ';':
			p.at++
			return token{text: rest[:1], mark: true}, nil
		case c == '"':
			i := strings.IndexByte(rest[1:], '"')
			if i < 0 || strings.Contains(rest[1:1+i], "\n") {
				return token{}, p.fail(p.line, "a string is not closed; end it with \"")
			}
			p.at += i + 2
			return token{text: rest[1 : 1+i], quoted: true}, nil
		default:
			i := strings.IndexAny(rest, " \t\r\n{};\"#")
			if i < 0 {
				i = len(rest)
			}
			p.at += i
			return token{text: rest[:i]}, nil
		}
	}
	return token{end: true}, nil
}
