//go:build linux

package interop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

const parentKnot = `server:
  listen: 192.0.2.1@53
  rundir: %[1]q
log:
  - target: stderr
    any: info
acl:
  - id: here
    address: 192.0.2.0/24
    action: update
database:
  storage: %[1]q
zone:
  - domain: test
    storage: %[1]q
    file: test.zone
    journal-content: all
    zonefile-load: difference-no-serial
    dnssec-signing: on
    acl: here
`

// The DSYNC record says CDS, NOTIFY, port 5300, cds.nic.test.
const parentZone = `$ORIGIN test.
$TTL 1
@ SOA a.nic hostmaster.nic 1 3600 900 86400 1
@ NS a.nic
a.nic A 192.0.2.1
cds.nic A 192.0.2.1
*._dsync TYPE66 \# 19 003B0114B4 03636473 036E6963 0474657374 00
fresh NS ns.fresh
ns.fresh A 192.0.2.53
`

const parentUnbound = `server:
  interface: 192.0.2.7
  access-control: 192.0.2.0/24 allow
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  pidfile: ""
  directory: %[1]q
  num-threads: 1
  do-ip6: no
  cache-max-negative-ttl: 1
  local-zone: "test." nodefault
  module-config: "validator iterator"
  trust-anchor-file: %[2]q
stub-zone:
  name: "test"
  stub-addr: 192.0.2.1
remote-control:
  control-enable: no
`

// TestParentIsTold: Knot serves and signs the parent of a new signed zone, with a DSYNC record, and Unbound validates
// it. The parent is notified once, takes the DS from the CDS, and is notified again when the CDS ask for something
// else.
func TestParentIsTold(t *testing.T) {
	lab.Need(t, "knotd", "unbound", "ip", "nft")
	dir, files, state := t.TempDir(), t.TempDir(), t.TempDir()
	h := lab.NewYard(t).Host(t, "here")
	for _, a := range []string{"192.0.2.1/24", "192.0.2.7/24", "192.0.2.53/24"} {
		h.Address(t, netip.MustParsePrefix(a), "cable")
	}
	lab.Write(t, filepath.Join(dir, "test.zone"), parentZone)
	lab.Write(t, filepath.Join(dir, "knot.conf"), fmt.Sprintf(parentKnot, dir))
	lab.Start(t, h, "knotd", "knotd", "-c", filepath.Join(dir, "knot.conf"))
	anchor := ""
	lab.Until(t, 30*time.Second, "the parent is signed", func() error {
		m, err := lab.Ask(h, "192.0.2.1:53", lab.Question{Name: "test.", Qtype: dns.TypeDNSKEY})
		if err != nil {
			return err
		}
		for _, r := range m.Answer {
			if k, is := r.(*dns.DNSKEY); is && k.Flags == 257 {
				anchor = k.String() + "\n"
			}
		}
		if anchor == "" {
			return errors.New(m.String())
		}
		return nil
	})
	lab.Write(t, filepath.Join(dir, "anchor"), anchor)
	lab.Write(t, filepath.Join(dir, "unbound.conf"), fmt.Sprintf(parentUnbound, dir, filepath.Join(dir, "anchor")))
	lab.Start(t, h, "unbound", "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))

	heard := make(chan *dns.Msg, 100)
	receiver := &dns.Server{
		PacketConn: h.ListenPacket(t, "192.0.2.1:5300"),
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			heard <- q
			_ = w.WriteMsg(new(dns.Msg).SetReply(q))
		}),
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = receiver.ActivateAndServe() }()
	t.Cleanup(func() { _ = receiver.Shutdown(); <-done })

	zone := func(dnssec string) {
		lab.Write(t, filepath.Join(files, "all.yaml"), "kind: Zone\nname: fresh.test\nnameservers: [ns.fresh.test]\n"+
			"ttl: 1s\ndnssec: "+dnssec+"\n---\n{kind: Record, name: fresh.test/ns/A, data: [192.0.2.53]}\n")
	}
	zone("{enabled: true}")
	s := lab.ServerAt(h, "child", "192.0.2.53:53", "127.0.0.1:8053", "--listen", "192.0.2.53:53", "--files", files,
		"--state", state, "--resolver", "192.0.2.7")
	s.Start(t)
	s.Ready(t)

	hurried := time.Now()
	hurry := func() { // the server looks now, and not after ten seconds
		if time.Since(hurried) > 500*time.Millisecond {
			s.Process.Signal(t, syscall.SIGHUP)
			hurried = time.Now()
		}
	}
	is := func(want string) {
		t.Helper()
		lab.Until(t, 60*time.Second, "the parent is "+want, func() error {
			hurry()
			var got struct {
				Signing struct {
					List []struct {
						Zone   string
						Parent *struct {
							State, Endpoint, Error string
							Validated              bool
						}
					}
				}
			}
			if err := s.Status(&got); err != nil {
				return err
			}
			if all := got.Signing.List; len(all) != 1 || all[0].Parent == nil || all[0].Parent.State != want {
				return fmt.Errorf("%+v", got)
			} else if p := all[0].Parent; want == "told" && (p.Endpoint != "cds.nic.test:5300" || !p.Validated) {
				return fmt.Errorf("%+v", *p)
			}
			return nil
		})
	}
	told := func(want int) {
		t.Helper()
		if n := len(heard); n != want {
			t.Errorf("the parent has heard %d notices, want %d", n, want)
		}
		for range len(heard) {
			q := <-heard
			if q.Opcode != dns.OpcodeNotify || len(q.Question) != 1 || q.Question[0].Name != "fresh.test." ||
				q.Question[0].Qtype != dns.TypeCDS {
				t.Errorf("the notice is\n%s", q)
			}
		}
	}
	is("told")
	told(1)
	if !strings.Contains(s.Process.Out.String(), "the parent was told of new CDS") {
		t.Error("the log does not say that the parent was told")
	}
	lab.Until(t, 30*time.Second, "what was told is on disk", func() error {
		b, err := os.ReadFile(filepath.Join(state, "parents.json"))
		if err == nil && !strings.Contains(string(b), "fresh.test") {
			err = errors.New(string(b))
		}
		return err
	})
	s.Process.Kill()
	s.Start(t)
	s.Ready(t)
	is("told")
	s.Process.Signal(t, syscall.SIGHUP)
	told(0)

	m, err := lab.Ask(h, "192.0.2.53:53", lab.Question{Name: "fresh.test.", Qtype: dns.TypeCDS})
	if err != nil || len(m.Answer) == 0 {
		t.Fatalf("no CDS: %v\n%v", err, m)
	}
	change := func(u *dns.Msg) {
		t.Helper()
		c, err := h.Dial(net.Dialer{Timeout: 5 * time.Second}, "tcp", "192.0.2.1:53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if r, err := lab.Exchange(c, u, 10*time.Second); err != nil || r.Rcode != dns.RcodeSuccess {
			t.Fatalf("the parent does not take the DS: %v\n%v", err, r)
		}
	}
	u := new(dns.Msg).SetUpdate("test.")
	for _, r := range m.Answer {
		if cds, is := r.(*dns.CDS); is {
			ds := cds.DS
			ds.Hdr.Rrtype = dns.TypeDS
			u.Insert([]dns.RR{&ds})
		}
	}
	change(u)
	is("fits")
	told(0)

	zone("{enabled: true, withdraw: true}")
	is("told")
	told(1)
	u = new(dns.Msg).SetUpdate("test.")
	u.RemoveRRset([]dns.RR{&dns.DS{Hdr: dns.RR_Header{Name: "fresh.test.", Rrtype: dns.TypeDS, Class: dns.ClassINET}}})
	change(u)
	is("fits")
	told(0)
}
