//go:build linux

package conformance

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// updateSteps are what nsupdate does to a signed zone ($), one message a line, with commands separated by semicolons.
// "!" begins a message that is refused. @ names what is asked for, in addition to the names in the line.
const updateSteps = `
add new.$ 60 A 192.0.2.1; add new.$ 60 A 192.0.2.2; add new.$ 60 TXT "new"
add deep.er.un.$ 60 TXT "x" @ er.un un q.er.un
prereq yxrrset deep.er.un.$ TXT "x"; prereq nxdomain un.$; delete deep.er.un.$ TXT; add un.$ 60 AAAA 2001:db8::1 @ er.un
add *.star.$ 60 A 192.0.2.3; add *.star.$ 60 HTTPS 1 . alpn=h2 @ q.star q.r.star star
add there.star.$ 60 TXT "itself" @ q.star there.star q.there.star
delete *.star.$ A @ q.star
add sub.$ 60 NS ns.sub.$; add ns.sub.$ 60 A 192.0.2.4; add below.sub.$ 60 TXT "hidden" @ q.sub
add sub.$ 60 DS 4711 13 2 abababababababababababababababababababababababababababababababab @ q.sub
delete sub.$ DS @ q.sub
delete sub.$ NS @ q.sub
add turn.$ 60 DNAME new.$; add a.turn.$ 60 TXT "hidden" @ q.turn
delete turn.$ DNAME @ q.turn a.turn
add al.$ 60 CNAME new.$
add al.$ 60 CNAME q.star.$
delete al.$; add al.$ 60 CAA 0 issue "ca.test"; add al.$ 60 SRV 1 2 3 New.$; add al.$ 60 TYPE65280 \# 2 abcd
add al.$ 60 NAPTR 1 2 "u" "sip" "!a!b!" r.$; add al.$ 60 SSHFP 1 1 aabbccddeeff00112233445566778899aabbccdd
add al.$ 60 TLSA 1 1 1 aabb; add al.$ 60 TXT "Case"
add $ 60 MX 7 new.$; add $ 60 CAA 0 issue "ca.test"
! add $ 60 DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
! add $ 60 CDS 0 0 0 00
! delete $ DNSKEY
! add new.$ 60 NSEC q.$ A
! delete new.$ RRSIG
! prereq nxrrset $ DNSKEY; add no.$ 60 TXT "no"
prereq yxrrset $ DNSKEY; prereq yxrrset $ CDS; delete $ CAA; delete $ MX 7 new.$
delete new.$; delete un.$; delete there.star.$; delete *.star.$; delete al.$ @ star q.star
`

var updatedTypes = []uint16{
	dns.TypeA, dns.TypeTXT, dns.TypeDS, dns.TypeNS, dns.TypeCNAME, dns.TypeNSEC, dns.TypeRRSIG, dns.TypeANY,
	dns.TypeNAPTR,
}

// TestSignedUpdate plays dynamic updates of signed zones, with NSEC and with NSEC3. After each one another
// implementation verifies the whole zone, and the validator judges the answers.
func TestSignedUpdate(t *testing.T) {
	lab.Need(t, "nsupdate", "ldns-verify-zone")
	const more = "\ntransfer: {allow: [127.0.0.0/8]}\nupdate: [{key: admin, names: [\"**\"], types: [ANY]}]"
	docs, dir := t.TempDir(), t.TempDir()
	writeSigned(t, docs, [2]string{"{enabled: true}" + more, "{enabled: true, nsec3: true}" + more}, nil, "")
	keys, tsig := filepath.Join(dir, "keys"), filepath.Join(dir, "tsig")
	for _, origin := range []string{"example.test", "other.test", "child.example.test"} {
		lab.LeewardOK(t, "", "key", "generate", origin, "--keys", keys)
	}
	lab.Write(t, tsig, fmt.Sprintf("key \"admin\" { algorithm hmac-sha256; secret \"%s\"; };\n", lab.UpdateSecret))
	e := lab.StartEtcd(t)
	lab.LeewardOK(t, "", "apply", "--etcd", e.Client, "-f", filepath.Join(docs, "all.yaml"))
	s := lab.Serve(t, "updated", "--etcd", e.Client, "--keys", keys, "--tsig-key", tsig)
	v := &validator{keys: keysOf(t, keys), now: time.Now()}
	_, port, _ := net.SplitHostPort(s.DNS)
	for _, origin := range []string{"example.test.", "other.test."} {
		lab.Until(t, 20*time.Second, "the zone is signed", func() error { return isSigned(s.DNS, origin) })
		for step := range strings.Lines(strings.TrimSpace(updateSteps)) {
			step = strings.ReplaceAll(strings.TrimSpace(step), "$", origin)
			commands, beside, _ := strings.Cut(step, " @ ")
			commands, refused := strings.CutPrefix(commands, "! ")
			var script strings.Builder
			fmt.Fprintf(&script, "server 127.0.0.1 %s\nzone %s\n", port, origin)
			names := map[string]bool{origin: true}
			for _, name := range strings.Fields(beside) {
				names[name+"."+origin] = true
			}
			for command := range strings.SplitSeq(commands, "; ") {
				verb, rest, _ := strings.Cut(command, " ")
				if verb != "prereq" {
					names[strings.Fields(rest)[0]] = true
					command = "update " + command
				}
				script.WriteString(command + "\n")
			}
			o := lab.Command(t, nil, script.String()+"send\n", "nsupdate", "-y", "hmac-sha256:admin:"+lab.UpdateSecret)
			if failed := o.Code != 0; failed != refused {
				t.Fatalf("%s: %v", step, o)
			}
			file := filepath.Join(t.TempDir(), "zone")
			lab.Write(t, file, transferred(t, s.DNS, origin))
			if out, err := exec.Command("ldns-verify-zone", file).CombinedOutput(); err != nil {
				t.Fatalf("after %s: ldns-verify-zone: %v\n%s", step, err, out)
			}
			var asked []string
			for name := range names {
				asked = append(asked, name)
			}
			askSigned(t, s.DNS, v, asked, updatedTypes, nil)
			if t.Failed() {
				t.Fatalf("after %s", step)
			}
		}
	}
}
