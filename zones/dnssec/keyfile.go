package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/zones/disk"
	"leeward/zones/rr"
)

// Keys on disk are pairs of files as BIND's dnssec-keygen makes them, K<origin>.+<algorithm>+<tag>. The .key file has
// the DNSKEY record as in a master file; the .private file has the private key and its times. If BIND rolls the keys by
// a policy, there is also a .state file.

// mostFile is the largest number of octets in a key file.
const mostFile = 64 << 10

// FileName returns the name of a key's files, without .key or .private. Octets that would lead out of the folder are
// escaped, as in BIND.
func (k *Key) FileName() string {
	return fmt.Sprintf("K%s+%03d+%05d", prefixOf(k.origin), k.algorithm, k.Tag())
}

func prefixOf(origin rr.Name) string {
	name := origin.String()
	if origin != rr.Root {
		name += "."
	}
	return strings.ReplaceAll(name, "/", "%2F")
}

// Write writes the key's two files into a folder, and makes the folder if there is none. Only the owner may read the
// private file. Existing files of the key are replaced; a .state file of BIND's stays as it is. If the private file
// cannot be written, no .key is left that was not there before.
func (k *TimedKey) Write(folder string) error {
	private, err := k.Private()
	if err != nil {
		return err
	}
	base := filepath.Join(folder, k.FileName())
	_, missing := os.Lstat(base + ".key")
	for _, f := range []struct {
		name, text string
		perm       fs.FileMode
	}{{base + ".key", k.Public(), 0o644}, {base + ".private", private, 0o600}} { // a .private always has its .key
		err := disk.Write(f.name, f.perm, func(file *os.File) error {
			_, err := file.WriteString(f.text)
			return err
		})
		if err != nil && missing != nil {
			_ = os.Remove(base + ".key")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stamp is how key files write a time, in UTC.
const stamp = "20060102150405"

// Public returns the content of the .key file: the DNSKEY record, and the key's times for people to read.
func (k *TimedKey) Public() string {
	var b strings.Builder
	kind := "zone-signing"
	if k.Entry() {
		kind = "key-signing"
	}
	fmt.Fprintf(&b, "; This is a %s key, keyid %d, for %s\n", kind, k.Tag(), dotted(k.origin))
	k.Times.each(func(name string, at *time.Time) {
		if !at.IsZero() {
			fmt.Fprintf(&b, "; %s: %s (%s)\n", name, at.UTC().Format(stamp), at.UTC().Format(time.ANSIC))
		}
	})
	fmt.Fprintf(&b, "%s IN DNSKEY %d 3 %d %s\n", dotted(k.origin), k.flags, k.algorithm,
		base64.StdEncoding.EncodeToString(k.public))
	return b.String()
}

// Private returns the content of the .private file: the private key, in the clear, and the key's times.
func (k *TimedKey) Private() (string, error) {
	secret, err := k.secret()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Private-key-format: v1.3\nAlgorithm: %d (%s)\nPrivateKey: %s\n", k.algorithm, k.algorithm,
		base64.StdEncoding.EncodeToString(secret))
	k.Times.each(func(name string, at *time.Time) {
		if !at.IsZero() {
			fmt.Fprintf(&b, "%s: %s\n", name, at.UTC().Format(stamp))
		}
	})
	return b.String(), nil
}

func dotted(n rr.Name) string {
	if n == rr.Root {
		return "."
	}
	return n.String() + "."
}

// secret returns the octets of the private key: for ECDSA the scalar, for Ed25519 the seed.
func (k *Key) secret() ([]byte, error) {
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		return private.Bytes()
	case ed25519.PrivateKey:
		return private.Seed(), nil
	}
	return nil, unknown(k.algorithm)
}

// WriteAll writes several keys to a folder, or none: if one cannot be written, as the disk is full, the files of the
// others are as they were. Half of a roll would be another one than was checked.
func WriteAll(folder string, keys []TimedKey) error {
	var undo []func() error
	for i := range keys {
		for _, ending := range [...]string{".private", ".key"} { // undone in the other order
			path := filepath.Join(folder, keys[i].FileName()+ending)
			text, err := disk.Read(path, mostFile)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				undo = append(undo, func() error {
					if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
						return err
					}
					return nil
				})
			case err != nil:
				return err
			default:
				status, err := os.Stat(path)
				if err != nil {
					return err
				}
				undo = append(undo, func() error {
					if now, err := disk.Read(path, mostFile); err == nil && bytes.Equal(now, text) {
						return nil
					}
					return disk.Write(path, status.Mode().Perm(), func(f *os.File) error {
						_, err := f.Write(text)
						return err
					})
				})
			}
		}
	}
	for i := range keys {
		if err := keys[i].Write(folder); err != nil {
			for _, f := range slices.Backward(undo) {
				err = errors.Join(err, f())
			}
			return err
		}
	}
	return nil
}

// Read reads a key from its files, given the name of the private one. An error says what is wrong with which file.
func Read(private string) (k TimedKey, err error) {
	base, found := strings.CutSuffix(private, ".private")
	if !found {
		return k, fmt.Errorf("%s: the name of a private key's file ends in .private", private)
	}
	text, err := disk.Read(base+".key", mostFile)
	if err != nil {
		return k, fmt.Errorf("%w; each .private has a .key beside it", err)
	}
	origin, dnskey, err := parsePublic(string(text))
	if err != nil {
		return k, fmt.Errorf("%s.key: %w", base, err)
	}
	if text, err = disk.Read(private, mostFile); err != nil {
		return k, err
	}
	if k, err = Parse(origin, binary.BigEndian.Uint16(dnskey), string(text)); err != nil {
		return k, fmt.Errorf("%s: %w", private, err)
	}
	if string(k.DNSKEY()) != string(dnskey) {
		return k, fmt.Errorf("%s does not belong to %s.key: it makes another public key", private, base)
	}
	state, err := disk.Read(base+".state", mostFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k.Role = roleOf(string(state))
	return k, nil
}

// Parse makes a key from the text of a .private file, also one of PowerDNS. The text has neither the zone nor the
// flags.
func Parse(origin rr.Name, flags uint16, private string) (k TimedKey, err error) {
	values := fieldsOf(private)
	a, secret, err := parsePrivate(values)
	if err != nil {
		return k, err
	}
	key, err := fromSecret(origin, flags, a, secret)
	if err != nil {
		return k, err
	}
	k.Key = key
	k.Times.each(func(name string, at *time.Time) { err = errors.Join(err, parseTime(values, name, at)) })
	return k, err
}

// roleOf returns the role that a .state file gives a key. BIND writes such files if it rolls keys by a policy. Their
// times are those of the .private file.
func roleOf(state string) Role {
	values := fieldsOf(state)
	switch ksk, zsk := values["KSK"] == "yes", values["ZSK"] == "yes"; {
	case ksk && zsk:
		return RoleCSK
	case ksk:
		return RoleKSK
	case zsk:
		return RoleZSK
	}
	return RoleByFlags
}

// parseTime reads a time, if there is one.
func parseTime(values map[string]string, name string, into *time.Time) error {
	text, _, _ := strings.Cut(values[name], " ")
	if text == "" {
		return nil
	}
	at, err := time.Parse(stamp, text)
	if err != nil {
		return fmt.Errorf("%s: %q is not a time; write YYYYMMDDHHMMSS, in UTC", name, text)
	}
	*into = at
	return nil
}

// fieldsOf reads lines that have a name, a colon and a value. Comments begin with a semicolon.
func fieldsOf(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, ";") {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}

// fromSecret makes a key from its private octets.
func fromSecret(origin rr.Name, flags uint16, a Algorithm, secret []byte) (*Key, error) {
	if flags&FlagZone == 0 || flags&FlagRevoke != 0 {
		return nil, fmt.Errorf("flags %d: not those of a key that signs zones; 256 and 257 are", flags)
	}
	if (a == ECDSAP256 || a == Ed25519) && len(secret) != 32 {
		return nil, fmt.Errorf("the private key has %d octets, and those of algorithm %d have 32", len(secret), a)
	}
	switch a {
	case ECDSAP256:
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
		if err != nil {
			return nil, errors.New("the private key is out of range")
		}
		return newKey(origin, flags, a, private)
	case Ed25519:
		return newKey(origin, flags, a, ed25519.NewKeyFromSeed(secret))
	}
	return nil, unknown(a)
}

// parsePublic reads a .key file: one DNSKEY record, on one line or in parentheses, and comments.
func parsePublic(text string) (origin rr.Name, dnskey []byte, err error) {
	var fields []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, ";")
		fields = append(fields, strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(line))...)
	}
	at := slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(f, "DNSKEY") })
	if at < 1 || at+4 >= len(fields) {
		return "", nil, errors.New("there is no DNSKEY record")
	}
	if origin, err = rr.ParseName(fields[0]); err != nil {
		return "", nil, err
	}
	dnskey, err = rr.ParseData(rr.TypeDNSKEY, strings.Join(fields[at+1:], " "), rr.Root)
	return origin, dnskey, err
}

// parsePrivate reads the key of a .private file.
func parsePrivate(values map[string]string) (a Algorithm, secret []byte, err error) {
	if format := values["Private-key-format"]; !strings.HasPrefix(format, "v1.") {
		return 0, nil, errors.New("it does not begin with Private-key-format: v1")
	}
	number, _, _ := strings.Cut(values["Algorithm"], " ")
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return 0, nil, errors.New("there is no Algorithm with its number")
	}
	if values["PrivateKey"] == "" && (n == uint64(ECDSAP256) || n == uint64(Ed25519)) {
		return 0, nil, errors.New("there is no PrivateKey; keys in a hardware module are not supported")
	}
	secret, err = base64.StdEncoding.DecodeString(values["PrivateKey"])
	if err != nil {
		return 0, nil, errors.New("the PrivateKey is not base64") // the error does not repeat it
	}
	return Algorithm(n), secret, nil
}
