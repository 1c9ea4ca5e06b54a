package process

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"leeward/zones/disk"
	"leeward/zones/dnssec"
)

// The secrets that operators provide are lines of a file. The first one makes what is new, and all are accepted. So
// they can be rolled without a moment at which servers disagree: add the next one at the end, then move it to the top,
// then remove the old one.

// secretLines reads a file of at most most secrets, each of octets octets in hexadecimal digits. A # begins a comment.
func secretLines(file, what string, octets, most int) (all [][]byte, err error) {
	text, err := disk.Read(file, 1<<20)
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		b, err := parseSecret(line, what, octets)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		all = append(all, b)
	}
	if len(all) == 0 || len(all) > most {
		return nil, fmt.Errorf("%s has %d %ss; give one to %d, %d hexadecimal digits a line", file, len(all), what,
			most, 2*octets)
	}
	return all, nil
}

// parseSecret parses one secret. Its error does not repeat the secret.
func parseSecret(text, what string, octets int) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != octets {
		return nil, fmt.Errorf("a %s is %d hexadecimal digits, such as `openssl rand -hex %d` prints", what, 2*octets,
			octets)
	}
	return b, nil
}

// KeySecretFile reads the file of the secrets that seal zones' keys in etcd: one to four lines of 64 hexadecimal
// digits. If everybody may read the file, open says so, and what to do; otherwise it is "".
func KeySecretFile(file string) (s *dnssec.Secrets, open string, err error) {
	all, err := secretLines(file, "key secret", dnssec.SecretSize, dnssec.MostSecrets)
	if err != nil {
		return nil, "", fmt.Errorf("--key-secret-file: %w", err)
	}
	if info, err := os.Stat(file); err == nil {
		if open = disk.Exposed(file, info.Mode()); open != "" {
			open = "--key-secret-file: " + open
		}
	}
	s, err = dnssec.NewSecrets(all...)
	return s, open, err
}
