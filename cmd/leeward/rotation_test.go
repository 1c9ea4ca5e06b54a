package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A server starts to use a new token and a new TSIG key when their files change, without a signal.
func TestCredentialsAreReadAgain(t *testing.T) {
	dir, secrets := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "all.yaml"), `
kind: Zone
name: example.test
nameservers: [ns1.example.test]
transfer: {allow: [key xfer]}
---
kind: Record
name: example.test/ns1/A
data: [192.0.2.1]
`)
	key := func(letter string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
	}
	tsig := func(letter string) {
		write(filepath.Join(secrets, "keys"),
			fmt.Sprintf("key \"xfer\" { algorithm hmac-sha256; secret %q; };\n", key(letter)))
	}
	tsig("a")
	write(filepath.Join(secrets, "token"), "one\n")
	s := serveFiles(t, dir,
		"--admin-token-file", filepath.Join(secrets, "token"), "--tsig-key", filepath.Join(secrets, "keys"))
	get := func(token, path string) (int, string) {
		r, err := http.NewRequest(http.MethodGet, s.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	status := func(token string) int {
		code, _ := get(token, "/api/v1/status")
		return code
	}
	transfer := func(letter string) bool {
		m := new(dns.Msg).SetAxfr("example.test.")
		m.SetTsig("xfer.", dns.HmacSHA256, 300, time.Now().Unix())
		zone, err := (&dns.Transfer{TsigSecret: map[string]string{"xfer.": key(letter)}}).In(m, s.dns)
		if err != nil {
			return false
		}
		good := true
		for e := range zone {
			good = good && e.Error == nil
		}
		return good
	}
	s.await("the first of each", func() bool { return status("one") == http.StatusOK && transfer("a") })
	write(filepath.Join(secrets, "token"), "two\n")
	tsig("b")
	s.await("the token is another", func() bool {
		return status("two") == http.StatusOK && status("one") == http.StatusUnauthorized
	})
	s.await("the key is another", func() bool { return transfer("b") && !transfer("a") })
	write(filepath.Join(secrets, "token"), "")
	s.awaitLog("going on with the token from before")
	if status("two") != http.StatusOK {
		t.Error("an empty file has taken the token away")
	}
	told := func() bool {
		_, text := get("two", "/api/v1/status")
		_, metrics := get("two", "/metrics")
		return strings.Contains(text, `"--admin-token-file"`) && strings.Contains(text, "is empty") &&
			strings.Contains(metrics, `leeward_credential_failing{use="admin-token"} 1`)
	}
	s.await("the status and the metrics tell of it", told)
	write(filepath.Join(secrets, "token"), "two\n")
	s.await("it is read", func() bool {
		_, text := get("two", "/api/v1/status")
		return !strings.Contains(text, `"--admin-token-file"`)
	})
}
