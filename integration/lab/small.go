//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

// Keys are a small world as `etcdctl put` puts it: key below the prefix and value.
var Keys = [][2]string{
	{
		"zones/example.test",
		`{"nameservers":["ns1.example.test"],"hostmaster":"hostmaster@example.test","negativeTTL":"30s"}`,
	},
	{"records/example.test/ns1/A", `{"data":["192.0.2.53"]}`},
	{"records/example.test/@/MX", `{"ttl":"3600s","data":["10 mail.example.test."]}`},
	{"regions/eu", `{"latitude":53.3,"longitude":-6.3}`},
	{"regions/us", `{"latitude":38.9,"longitude":-77}`},
	{"pools/www-eu", `{"region":"eu"}`},
	{"pools/www-us", `{"region":"us"}`},
	{"endpoints/www-eu/lb-1", `{"addresses":["192.0.2.1","2001:db8::1"]}`},
	{"endpoints/www-us/lb-1", `{"addresses":["192.0.2.2"]}`},
	{"policies/www.example.test", `{"ttl":"20s","rules":[{"failover":["www-eu","www-us"]}]}`},
}

var (
	WWW = Question{Name: "www.example.test", Qtype: dns.TypeA}
	NS1 = Question{Name: "ns1.example.test", Qtype: dns.TypeA}
)

// Filled starts an etcd on loopback with keys in it.
func Filled(t testing.TB) *Member {
	t.Helper()
	m := StartEtcd(t)
	for _, kv := range Keys {
		m.Put(t, kv[0], kv[1])
	}
	return m
}

// MasterFile is a zone as people write it.
const MasterFile = `$ORIGIN example.test.
$TTL 300
@       IN SOA ns1 hostmaster ( 2026112301 3600 900 86400 30 )
        IN NS  ns1
        IN NS  ns2.elsewhere.invalid.
        IN MX  10 mail
ns1     IN A   192.0.2.53
mail    IN A   192.0.2.25
mail    IN AAAA 2001:db8::25
*.wild  IN TXT "wild"
alias   IN CNAME mail
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.99
a.b.deep IN A  192.0.2.77
`

// PolicyFile steers www of that zone: no monitor, so both endpoints are up.
const PolicyFile = `kind: Region
name: here
---
kind: Pool
name: www
region: here
---
kind: Endpoint
name: www/lb-1
addresses: [192.0.2.10, "2001:db8::10"]
---
kind: Endpoint
name: www/lb-2
addresses: [192.0.2.11]
---
kind: Policy
name: www.example.test
ttl: 20s
pick: all
answers: 8
rules: [{failover: [www]}]
`

// Folder writes files into a new folder.
func Folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		Write(t, filepath.Join(dir, name), text)
	}
	return dir
}

// Write replaces a file as editors do: a new one renamed over it.
func Write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
