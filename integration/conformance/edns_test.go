//go:build linux

package conformance

import (
	wirebytes "encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

var update = flag.Bool("update", false, "write testdata anew, as things are now; read the difference")

// ednsZone is the zone of the probes: it has an answer of any size between the limits.
func ednsZone() string {
	var b strings.Builder
	b.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 3600 900 86400 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\n")
	for owner, octets := range map[string]int{"t400": 400, "t700": 700, "t1100": 1100, "t1300": 1300, "t4000": 4000} {
		for rest, i := octets, 0; rest > 0; rest, i = rest-100, i+1 {
			fmt.Fprintf(&b, "%s TXT \"%02d%s\"\n", owner, i, strings.Repeat("x", min(100, rest)-15))
		}
	}
	return b.String()
}

const ednsPolicy = `
{kind: Region, name: eu, latitude: 50, longitude: 8}
---
{kind: Region, name: us, latitude: 40, longitude: -75}
---
{kind: Pool, name: eu, region: eu}
---
{kind: Pool, name: us, region: us}
---
{kind: Endpoint, name: eu/1, addresses: [192.0.2.10]}
---
{kind: Endpoint, name: us/1, addresses: [198.51.100.10]}
---
kind: Policy
name: steered.example.test
rules:
  - when: {prefixes: [203.0.113.0/24, "2001:db8:77::/48"]}
    failover: [us, eu]
  - failover: [eu, us]
`

// TestEDNS sends what a compliance tester would send (RFC 6891 section by section, the probes of ISC's ednscomp and of
// the DNS flag days, cookies, client subnet, NSID, keepalive), over UDP and over TCP, and compares the replies with
// testdata/edns.txt, one line for each probe. BIND, NSD and Knot are asked the same. Leeward does what they agree on,
// except for the lines that say "alone". If the four differ on a line, docs/dns.md has a row for it, with what each of
// them says.
func TestEDNS(t *testing.T) {
	needPeers(t)
	q := startQuartet(t, map[string]string{"example.test": ednsZone()})
	lab.Write(t, filepath.Join(q.folder, "policy.yaml"), ednsPolicy)
	lab.Expect(t, time.Minute, q.addresses[ours], lab.Question{Name: "steered.example.test", Qtype: dns.TypeA},
		"192.0.2.10")

	const file = "testdata/edns.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/dns.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "### EDNS, probe by probe\n")
	said := rowsOf(section)
	var out strings.Builder
	rows := map[string][]string{} // the words of the four: names of probes
	var order []string
	probes := 0
	for number, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		if line == "" || line[0] == '#' {
			fmt.Fprintln(&out, line)
			continue
		}
		cells := strings.Split(line, "|")
		for len(cells) < 5 {
			cells = append(cells, "")
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		p := rawProbe{name: cells[0], words: cells[1]}
		probes++
		var udp, tcp [servers]string
		for i := range servers {
			udp[i], tcp[i] = q.reply(t, i, "udp", p), q.reply(t, i, "tcp", p)
		}
		now := []string{udp[ours], tcp[ours]}
		if now[1] == now[0] {
			now[1] = "the same"
		}
		three, four := true, true
		for i := bind; i < servers; i++ {
			three = three && alike(udp[i]) == alike(udp[bind]) && alike(tcp[i]) == alike(tcp[bind])
			four = four && alike(udp[i]) == alike(udp[ours]) && alike(tcp[i]) == alike(tcp[ours])
		}
		peers := ""
		switch {
		case four:
		case !three:
			peers = "differ"
		case cells[4] == "alone":
			peers = "alone"
		default:
			t.Errorf("%s:%d: %s: BIND, NSD and Knot agree, and Leeward does not:\nleeward %s / %s\nthey    %s / %s",
				file,
				number+1, p.name, udp[ours], tcp[ours], udp[bind], tcp[bind])
		}
		if !four {
			row := ""
			for _, i := range []int{bind, nsd, knot, ours} {
				row += " | " + cellOf(udp[i], tcp[i])
			}
			if rows[row] == nil {
				order = append(order, row)
			}
			rows[row] = append(rows[row], p.name)
			if said[p.name] != row && !*update {
				t.Errorf("docs/dns.md: the row of %s is\n%s\nand should be\n%s", p.name, said[p.name], row)
			}
		}
		if want := cells[2:5]; !*update && (want[0] != now[0] || want[1] != now[1] || want[2] != peers) {
			t.Errorf("%s:%d: %s\nsent %s\nUDP  %s\nTCP  %s (%s)\nwant %s\n     %s (%s)", file, number+1, p.name,
				p.words, now[0],
				now[1], peers, want[0], want[1], want[2])
		}
		fmt.Fprintln(&out, strings.TrimRight(fmt.Sprintf("%-24s | %-52s | %-44s | %-30s | %s", p.name, p.words, now[0],
			now[1], peers), " "))
	}
	if probes < 60 {
		t.Errorf("only %d probes in %s", probes, file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, row := range order {
			fmt.Fprintf(&b, "| %s%s |\n", strings.Join(rows[row], ", "), row)
		}
		t.Logf("rows for docs/dns.md:\n%s", &b)
	}
}

// rowsOf reads the table of docs/dns.md: for each name in a first cell, the next four cells.
func rowsOf(section string) map[string]string {
	said := make(map[string]string)
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "#") {
			break
		}
		if cells := strings.Split(line, " | "); len(cells) > 4 {
			for name := range strings.SplitSeq(strings.TrimPrefix(cells[0], "| "), ", ") {
				said[name] = " | " + strings.Join(cells[1:5], " | ")
			}
		}
	}
	return said
}

var addressOfECS = regexp.MustCompile(`ecs=[^ ]*/`)

// cellOf is what one server says, in a table. Of an ECS option it has only the scope.
func cellOf(udp, tcp string) string {
	if udp, tcp = alike(udp), alike(tcp); udp != tcp {
		udp += "; TCP: " + tcp
	}
	return addressOfECS.ReplaceAllString(udp, "ecs=")
}

// reply sends a probe to server i and returns what comes back, in words. A plain query follows it. Once that is
// answered, a reply to the probe has arrived, or will not come.
func (q *quartet) reply(t *testing.T, i int, network string, p rawProbe) string {
	t.Helper()
	c, err := net.DialTimeout(network, q.addresses[i], 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	stream := network == "tcp"
	if p.has("cookie=good") {
		first := rawProbe{name: p.name, words: "www.example.test A cookie=client"}
		wire, err := first.pack(1)
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, wire)
		got, err := receive(c, stream)
		if err != nil {
			t.Fatalf("%s: a first cookie: %v", serverNames[i], err)
		}
		if p.cookie = cookieOf(got); p.cookie == "" {
			return "no cookie"
		}
	}
	const probed, after = 2, 3
	wire, err := p.pack(probed)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, wire)
	answered, grace := false, 5*time.Second
	last, _ := rawProbe{words: "example.test SOA"}.pack(after)
	if send(t, c, last); p.has("qr") && i == ours {
		grace = 0 // a message that is not answered on any path
	}
	for {
		got, err := receive(c, stream)
		switch {
		case err != nil && stream && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
			return "closed"
		case errors.Is(err, os.ErrDeadlineExceeded) && answered:
			return "nothing"
		case err != nil:
			t.Fatalf("%s over %s, %s: %v", serverNames[i], network, p.words, err)
		}
		switch wirebytes.BigEndian.Uint16(got) {
		case probed:
			if !stream && i == ours && len(got) > p.room() {
				t.Errorf("%s: %d octets; the client takes %d", p.name, len(got), p.room())
			}
			return p.summary(got)
		case after: // an answer that is made aside may be overtaken
			answered = true
			c.SetDeadline(time.Now().Add(grace))
		}
	}
}

// room is the largest size of a UDP response to the probe, in octets.
func (p rawProbe) room() int {
	if !strings.Contains(p.words, "size=") && !p.has("edns") {
		return 1232 // any of the other words brings an OPT record, or the answer is short
	}
	for _, w := range strings.Fields(p.words) {
		var n int
		if _, err := fmt.Sscanf(w, "size=%d", &n); err == nil {
			return min(max(n, 512), 1232)
		}
	}
	return 1232
}

// send writes a message, with its length before it on a stream.
func send(t *testing.T, c net.Conn, wire []byte) {
	t.Helper()
	if _, stream := c.(*net.TCPConn); stream {
		wire = append(wirebytes.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	c.Write(wire) // a connection that was closed shows when it is read
}

func receive(c net.Conn, stream bool) ([]byte, error) {
	b := make([]byte, 1<<16)
	if !stream {
		n, err := c.Read(b)
		if err == nil && n < 12 {
			err = fmt.Errorf("a datagram of %d octets", n)
		}
		return b[:n], err
	}
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return nil, err
	}
	b = b[:wirebytes.BigEndian.Uint16(b)]
	if len(b) < 12 {
		return nil, fmt.Errorf("a message of %d octets", len(b))
	}
	_, err := io.ReadFull(c, b)
	return b, err
}
