package dnssec

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func privateText(t *testing.T, folder string, k *Key) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, k.FileName()+".private"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFilesOfBIND: we read what dnssec-keygen writes, and dnssec-dsfromkey finds the DS of what we write.
func TestFilesOfBIND(t *testing.T) {
	if _, err := exec.LookPath("dnssec-keygen"); err != nil {
		t.Skip("there is no dnssec-keygen")
	}
	for _, a := range []string{"ECDSAP256SHA256", "ED25519"} {
		folder := t.TempDir()
		out, err := exec.Command("dnssec-keygen", "-K", folder, "-a", a, "-f", "KSK", "Example.test").Output()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ReadFolder(folder, name(t, "example.test"))
		if err != nil {
			t.Fatal(err)
		}
		k := &keys.All()[0]
		if theirs := strings.TrimSpace(string(out)); !strings.EqualFold(k.FileName(), theirs) {
			t.Errorf("the file is %s here, and %s there", k.FileName(), theirs)
		}
		ours := t.TempDir()
		if err := k.Write(ours); err != nil {
			t.Fatal(err)
		}
		base := filepath.Join(ours, k.FileName())
		out, err = exec.Command("dnssec-dsfromkey", "-2", base+".key").Output()
		if err != nil {
			t.Fatal(err)
		}
		ds, err := k.DS(DigestSHA256)
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(out))
		if got := strings.ToLower(strings.Join(fields[6:], "")); got != hexOf(ds[4:]) {
			t.Errorf("the DS is %x here, and %s there", ds[4:], got)
		}
		out, err = exec.Command("dnssec-settime", "-K", ours, "-p", "all", k.FileName()).CombinedOutput()
		if err != nil {
			t.Errorf("dnssec-settime: %v: %s", err, out)
		}
		status, err := os.Stat(base + ".private")
		if err != nil || status.Mode().Perm() != 0o600 {
			t.Errorf("the private key's mode is %v, %v", status.Mode(), err)
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// TestBadKeyFiles: each error names the file with the fault, and never has the private key.
func TestBadKeyFiles(t *testing.T) {
	k, other := TimedKey{Key: key(t, "example.test", ECDSAP256)}, key(t, "example.test", ECDSAP256)
	secret, err := other.secret()
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		spoil func(public, private string) (string, string)
		want  string
	}{
		"cut short": {func(p, s string) (string, string) {
			return p, s[:len(s)/2]
		}, ".private: "},
		"empty": {func(p, _ string) (string, string) {
			return p, ""
		}, "does not begin with Private-key-format"},
		"no key": {func(string, string) (string, string) { return "", "" }, "there is no DNSKEY record"},
		"wrong size": {func(p, s string) (string, string) {
			return p, replace(s, "Key: ", "Key: AAAA\nX: ")
		}, "has 3 octets"},
		"not base64": {func(p, s string) (string, string) {
			return p, replace(s, "Key: ", "Key: !")
		}, "not base64"},
		"another's": {func(p, s string) (string, string) {
			return p, string(mustText(t, other))
		}, "makes another public key"},
		"RSA": {func(p, s string) (string, string) {
			return p, replace(s, "Algorithm: 13", "Algorithm: 8")
		}, "algorithm 8: not known"},
		"of a resolver": {func(p, s string) (string, string) {
			return replace(p, "DNSKEY 257", "DNSKEY 0"), s
		}, "flags 0"},
		"revoked": {func(p, s string) (string, string) {
			return replace(p, "DNSKEY 257", "DNSKEY 385"), s
		}, "flags 385"},
		"another zone": {func(p, s string) (string, string) {
			return replace(p, "\nexample.", "\nother."), s
		}, "is a key of other.test"},
		"a time that is none": {func(p, s string) (string, string) {
			return p, s + "Activate: tomorrow\n"
		}, `.private: Activate: "tomorrow" is not a time`},
		"out of range": {func(p, s string) (string, string) {
			return p, replace(s, "PrivateKey: ", "PrivateKey: //////////////////////////////////////////8=\nX: ")
		}, "out of range"},
	} {
		folder := t.TempDir()
		if err := k.Write(folder); err != nil {
			t.Fatal(err)
		}
		base := filepath.Join(folder, k.FileName())
		public, err := os.ReadFile(base + ".key")
		if err != nil {
			t.Fatal(err)
		}
		p, s := c.spoil(string(public), privateText(t, folder, k.Key))
		write(t, base+".key", p)
		write(t, base+".private", s)
		_, err = ReadFolder(folder, k.origin)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v; want %q and the file", what, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%s: the error has the key", what)
		}
	}
	folder := t.TempDir()
	if err := k.Write(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, k.FileName()+".key")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFolder(folder, k.origin); err == nil || !strings.Contains(err.Error(), "has a .key beside it") {
		t.Errorf("a private key without its .key is read: %v", err)
	}
}

// TestWriteFails: if the private file of a key cannot be written, nothing of the key is left, and the folder is as it
// was.
func TestWriteFails(t *testing.T) {
	folder := t.TempDir()
	k := TimedKey{Key: key(t, "example.test", Ed25519)}
	base := filepath.Join(folder, k.FileName())
	if err := os.Mkdir(base+".private", 0o700); err != nil {
		t.Fatal(err)
	}
	files := func() (all string) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all += strings.TrimPrefix(e.Name(), k.FileName()) + " "
		}
		return all
	}
	if err := k.Write(folder); err == nil || files() != ".private " {
		t.Errorf("%v; there are %s", err, files())
	}
	write(t, base+".key", "there before")
	if err := k.Write(folder); err == nil || files() != ".key .private " {
		t.Errorf("%v; there are %s", err, files())
	}
}

// TestMarkFollowsLinks: if the files are links, a change of their targets is a change of the key.
func TestMarkFollowsLinks(t *testing.T) {
	real, folder := t.TempDir(), t.TempDir()
	k := TimedKey{Key: key(t, "example.test", Ed25519)}
	mark := func() string {
		t.Helper()
		if err := k.Write(real); err != nil {
			t.Fatal(err)
		}
		f, err := List(folder)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := f.Read(k.origin); err != nil || keys.All()[0].Times != k.Times || f.Doubt(k.origin) != nil {
			t.Fatal(keys, err, f.Doubt(k.origin))
		}
		return f.Mark(k.origin)
	}
	for _, ending := range []string{".key", ".private"} {
		file := k.FileName() + ending
		if err := os.Symlink(filepath.Join(real, file), filepath.Join(folder, file)); err != nil {
			t.Fatal(err)
		}
	}
	first := mark()
	k.Times.Publish = day0
	if mark() == first {
		t.Error("it does not change")
	}
}

func replace(s, old, by string) string { return strings.Replace(s, old, by, 1) }

func mustText(t *testing.T, k *Key) []byte {
	folder := t.TempDir()
	if err := (&TimedKey{Key: k}).Write(folder); err != nil {
		t.Fatal(err)
	}
	return []byte(privateText(t, folder, k))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
}
