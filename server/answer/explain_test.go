package answer

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestExplanationIsTheAnswer compares the explained answer with the server's answer, for all questions of the server's
// own scenarios: chains to their last link, loops, aliases out of our zones, DNAMEs, referrals, policies.
func TestExplanationIsTheAnswer(t *testing.T) {
	text, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := newResponder(t)
	state, w := r.state.Load(), r.newWorker(tcp)
	asked := 0
	texts := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "dig" || strings.Contains(line, "class=") || strings.Contains(line, "opcode=") {
			continue
		}
		asked++
		q := f[1:3]
		r := ask(t, w, inquiry{message: question(q[0], dns.StringToType[q[1]]), client: loopback, proto: tcp})
		e, err := Explain(state, q[0], q[1], "127.0.0.1")
		if err != nil {
			t.Errorf("%v: %v", q, err)
			continue
		}
		texts[q[0]+" "+q[1]] = strings.Join(e.Text, "\n")
		if want := dns.RcodeToString[r.Rcode]; e.Rcode != want || len(e.Text) == 0 {
			t.Errorf("%v is answered with %s, and explained as %s: %q", q, want, e.Rcode, e.Text)
		}
		for i, section := range [][]dns.RR{r.Answer, r.Ns} {
			if got, want := spell(t, [][]string{e.Answer, e.Authority}[i], e.Policy != ""), spell(t, wireText(section),
				e.Policy != ""); !slices.Equal(got, want) {
				t.Errorf("%v: section %d is answered as\n%s\nand explained as\n%s", q, i, strings.Join(want, "\n"),
					strings.Join(got, "\n"))
			}
		}
	}
	if asked < 150 {
		t.Errorf("only %d questions", asked)
	}
	for q, holds := range map[string]string{
		"link1.example.test. A": "longer than 16", "self.example.test. A": "a loop", "egg.example.test. A": "a loop",
		"away.example.test. A": "the resolver goes on from there",
	} {
		if strings.Count(texts[q], holds) != 1 {
			t.Errorf("%s: %q", q, texts[q])
		}
	}
}

func wireText(records []dns.RR) (all []string) {
	for _, r := range records {
		all = append(all, r.String())
	}
	return all
}

// spell makes records comparable. A policy draws its addresses at random, so only their owners and number count.
func spell(t *testing.T, records []string, drawn bool) (all []string) {
	t.Helper()
	for _, text := range records {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if a, ok := r.(*dns.A); ok && drawn {
			a.A = net.IPv4zero
		}
		if a, ok := r.(*dns.AAAA); ok && drawn {
			a.AAAA = net.IPv6zero
		}
		all = append(all, strings.ToLower(r.Header().Name)+r.String()[len(r.Header().Name):])
	}
	slices.Sort(all)
	return all
}
