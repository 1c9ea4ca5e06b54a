//go:build linux

package conformance

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

var judgeAll = flag.Bool("judge-all", false, "have delv look at every name and type, which takes minutes")

// TestSignedJudged: BIND's delv checks signed zones in several states of health. A second server with the same keys
// answers beside the first.
func TestSignedJudged(t *testing.T) {
	lab.Need(t, "delv")
	const nsec, nsec3 = "{enabled: true}", "{enabled: true, nsec3: true}"
	t.Run("NSEC", func(t *testing.T) { judgeSigned(t, [2]string{nsec, nsec3}) })
	t.Run("NSEC3", func(t *testing.T) { judgeSigned(t, [2]string{nsec3, nsec}) })
}

func judgeSigned(t *testing.T, settings [2]string) {
	t.Parallel()
	dir, keys, names := t.TempDir(), filepath.Join(t.TempDir(), "keys"), resolver(t)
	writeSigned(t, dir, settings, nil, "")
	args := []string{"--files", dir, "--keys", keys, "--resolver", names}
	one := lab.Serve(t, "one", args...)
	lab.Until(t, 20*time.Second, "three zones have keys", func() error {
		if n := len(keysOf(t, keys)); n != 3 {
			return fmt.Errorf("%d keys", n)
		}
		return nil
	})
	two := lab.Serve(t, "two", args...)
	all := keysOf(t, keys)
	child := all["child.example.test."].ToDS(dns.SHA256)
	more := fmt.Sprintf("---\nkind: Record\nname: example.test/child/DS\ndata: [\"%d %d %d %s\"]\n", child.KeyTag,
		child.Algorithm, child.DigestType, child.Digest)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i, down := range [][]string{
		nil,
		{"endpoint/dual/a", "endpoint/dual/c"},
		{"endpoint/dual/a", "endpoint/dual/b", "endpoint/dual/c", "endpoint/four/a"},
	} {
		mark := fmt.Sprintf("---\nkind: Record\nname: example.test/mark/TXT\ndata: ['\"%d\"']\n", i)
		writeSigned(t, dir, settings, down, more+mark)
		for _, s := range []*lab.Server{one, two} {
			lab.Expect(t, 20*time.Second, s.DNS, lab.Question{Name: "mark.example.test", Qtype: dns.TypeTXT},
				fmt.Sprintf(`"%d"`, i))
		}
		twins(t, r, one.DNS, two.DNS)
		delv(t, r, two.DNS, all["example.test."])
	}
}

// delv runs BIND's delv, which validates from the zone's key, for random names and types, or for all.
func delv(t *testing.T, r *rand.Rand, at string, key *dns.DNSKEY) {
	t.Helper()
	judge := delvFrom(t, at, key)
	type question struct{ name, typ string }
	var list []question
	for _, name := range signedNames(r) {
		if leadsAway(name) {
			continue
		}
		types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeDNSKEY}
		if name == "every.example.test." {
			types = everyType
		}
		for _, typ := range types {
			list = append(list, question{name, dns.TypeToString[typ]})
		}
	}
	if r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] }); !*judgeAll {
		list = list[:25]
	}
	var wait sync.WaitGroup
	gate := make(chan struct{}, 4)
	for _, q := range list {
		gate <- struct{}{}
		wait.Go(func() {
			defer func() { <-gate }()
			judge(q.name, q.typ)
		})
	}
	wait.Wait()
}

// delvFrom returns a function that runs delv for a name and a type at a server, and returns its output. delv validates
// from the key of a zone.
func delvFrom(t *testing.T, at string, key *dns.DNSKEY) func(name, typ string) string {
	t.Helper()
	anchors := filepath.Join(t.TempDir(), "anchors")
	lab.Write(t, anchors, fmt.Sprintf("trust-anchors { %q static-key %d %d %d %q; };\n", key.Hdr.Name, key.Flags,
		key.Protocol, key.Algorithm, key.PublicKey))
	host, port, _ := strings.Cut(at, ":")
	return func(name, typ string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, "delv", "@"+host, "-p", port, "-a", anchors,
			"+root="+key.Hdr.Name, "-t", typ, "-q", name).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "fully validated") {
			t.Errorf("delv does not take %s %s: %v\n%s", name, typ, err, out)
		}
		return string(out)
	}
}

// leadsAway reports whether answers go on in a zone that a validator of example.test alone does not trust, or that does
// not exist.
func leadsAway(name string) bool {
	if !strings.HasSuffix(name, "example.test.") {
		return true
	}
	for _, end := range []string{
		"c4.", "c5.", "c6.", "c7.", "dd.", "alias.", "cut.", "secure.",
	} {
		if strings.HasSuffix("."+name, "."+end+"example.test.") {
			return true
		}
	}
	return false
}

// twins asks two servers with the same keys the same random questions. If both have an RRset, it has the same
// signature. An answer that no policy chooses is the same bit by bit.
func twins(t *testing.T, r *rand.Rand, one, two string) {
	t.Helper()
	names := signedNames(r)
	ask := func(at string, name string, typ uint16) *dns.Msg {
		m := new(dns.Msg).SetQuestion(name, typ)
		m.Id = 1
		m.SetEdns0(4096, true)
		c := dns.Client{Net: "tcp", Timeout: 20 * time.Second}
		reply, _, err := c.Exchange(m, at)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	signatures := func(m *dns.Msg) map[string]string {
		sets, all := map[string][]string{}, map[string]string{}
		for _, x := range slices.Concat(m.Answer, m.Ns, m.Extra) {
			h := x.Header()
			if h.Rrtype != dns.TypeRRSIG && h.Rrtype != dns.TypeOPT {
				key := fmt.Sprint(h.Name, h.Rrtype)
				sets[key] = append(sets[key], x.String())
			}
		}
		for _, x := range slices.Concat(m.Answer, m.Ns, m.Extra) {
			if s, is := x.(*dns.RRSIG); is {
				set := sets[fmt.Sprint(s.Hdr.Name, s.TypeCovered)]
				if len(set) == 0 { // RRSIG was asked for, and nothing says of which set
					continue
				}
				slices.Sort(set)
				all[fmt.Sprint(s.KeyTag, s.TypeCovered, s.Hdr.Name, set)] += s.String()
			}
		}
		return all
	}
	met := 0
	for range 250 {
		name := names[r.IntN(len(names))]
		typ := signedTypes[r.IntN(len(signedTypes))]
		a, b := ask(one, name, typ), ask(two, name, typ)
		x, y := signatures(a), signatures(b)
		for set, s := range x {
			if other, both := y[set]; both {
				met++
				if s != other {
					t.Errorf("%s %s: of one set are two signatures:\n%s\n%s", name, dns.TypeToString[typ], s, other)
				}
			}
		}
		if a.Rcode != b.Rcode || len(a.Answer) > 0 && a.Answer[0].Header().Rrtype == dns.TypeTXT &&
			a.Answer[0].String() != b.Answer[0].String() || len(a.Answer) == 0 && a.String() != b.String() {
			t.Errorf("%s %s: one server answers\n%v\nthe other\n%v", name, dns.TypeToString[typ], a, b)
		}
	}
	if met < 100 {
		t.Errorf("only %d sets were met twice", met)
	}
}
