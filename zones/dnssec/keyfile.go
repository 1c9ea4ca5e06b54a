package dnssec

import (
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

	"leeward/zones/disk"
	"leeward/zones/rr"
)

// Keys on disk are pairs of files as BIND's dnssec-keygen makes them, K<origin>.+<algorithm>+<tag>: .key has the DNSKEY
// record as a master file would, .private the private key.

// mostFile is how many octets a key file may have.
const mostFile = 64 << 10

// FileName returns the name of a key's files, without .key or .private. Octets that would lead out of a folder are
// escaped, as BIND does.
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

// Write puts the key's two files into a folder, which it makes if there is none. Only the owner may read the private
// one.
func (k *Key) Write(folder string) error {
	seed, err := k.secret()
	if err != nil {
		return err
	}
	name := map[Algorithm]string{ECDSAP256: "ECDSAP256SHA256", Ed25519: "ED25519"}[k.algorithm]
	private := fmt.Sprintf("Private-key-format: v1.3\nAlgorithm: %d (%s)\nPrivateKey: %s\n", k.algorithm, name,
		base64.StdEncoding.EncodeToString(seed))
	kind := "zone-signing"
	if k.flags&FlagEntry != 0 {
		kind = "key-signing"
	}
	public := fmt.Sprintf("; This is a %s key, keyid %d, for %s\n%s IN DNSKEY %d 3 %d %s\n", kind, k.Tag(),
		dotted(k.origin), dotted(k.origin), k.flags, k.algorithm, base64.StdEncoding.EncodeToString(k.public))
	base := filepath.Join(folder, k.FileName())
	for _, f := range []struct {
		name, text string
		perm       fs.FileMode
	}{{base + ".key", public, 0o644}, {base + ".private", private, 0o600}} { // a .private has its .key at any moment
		err := disk.Write(f.name, f.perm, func(file *os.File) error {
			_, err := file.WriteString(f.text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func dotted(n rr.Name) string {
	if n == rr.Root {
		return "."
	}
	return n.String() + "."
}

// secret returns the private key's octets: of ECDSA the scalar, of Ed25519 the seed.
func (k *Key) secret() ([]byte, error) {
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		return private.Bytes()
	case ed25519.PrivateKey:
		return private.Seed(), nil
	}
	return nil, unknown(k.algorithm)
}

// Read reads a key from its two files, given the name of the private one. The error says what is wrong with which file.
func Read(private string) (*Key, error) {
	base, found := strings.CutSuffix(private, ".private")
	if !found {
		return nil, fmt.Errorf("%s: the name of a private key's file ends in .private", private)
	}
	text, err := disk.Read(base+".key", mostFile)
	if err != nil {
		return nil, fmt.Errorf("%w; each .private has a .key beside it", err)
	}
	origin, dnskey, err := parsePublic(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", base, err)
	}
	if text, err = disk.Read(private, mostFile); err != nil {
		return nil, err
	}
	a, secret, err := parsePrivate(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", private, err)
	}
	k, err := fromSecret(origin, binary.BigEndian.Uint16(dnskey), a, secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", private, err)
	}
	if string(k.DNSKEY()) != string(dnskey) {
		return nil, fmt.Errorf("%s does not belong to %s.key: it makes another public key", private, base)
	}
	return k, nil
}

// fromSecret makes a key of its private octets.
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

// parsePrivate reads a .private file. Lines that say more, such as when the key is to be used, are passed over.
func parsePrivate(text string) (a Algorithm, secret []byte, err error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(line, ":"); found {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
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
		return 0, nil, errors.New("the PrivateKey is not base64") // and is not repeated
	}
	return Algorithm(n), secret, nil
}

// Origins lists the zones of which a folder has key files. There need not be such a folder.
func Origins(folder string) (origins []rr.Name, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		at := strings.LastIndexByte(name, '+') - len("+013")
		if !strings.HasPrefix(name, "K") || !strings.HasSuffix(name, ".private") || at < 1 || name[at] != '+' {
			continue
		}
		origin, err := rr.ParseName(strings.ReplaceAll(name[1:at], "%2F", "/"))
		if err == nil && !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins, nil
}

// ErrNoKey says that a folder has no key of a zone.
var ErrNoKey = errors.New("there is no key of the zone")

// ReadFolder reads the key of a zone from a folder. The error wraps ErrNoKey if there is none. There must be one only.
func ReadFolder(folder string, origin rr.Name) (*Key, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		name := e.Name()
		if rest, ok := strings.CutPrefix(name, "K"+prefixOf(origin)+"+"); ok && strings.HasSuffix(rest, ".private") {
			found = append(found, filepath.Join(folder, name))
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%s: %w", folder, ErrNoKey)
	case 1:
		k, err := Read(found[0])
		if err == nil && k.origin != origin {
			return nil, fmt.Errorf("%s is a key of %s", found[0], k.origin)
		}
		return k, err
	}
	return nil, fmt.Errorf("%s and %s are both keys of the zone, and a zone is signed with one here; "+
		"move the other out of the folder", found[0], found[1])
}
