package control_test

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/control"
	"leeward/health"
	"leeward/server/answer"
	"leeward/server/socket"
	"leeward/zones"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// answered is the state of the server's own scenarios, and the questions in them.
func answered(t *testing.T) (state answer.State, questions [][2]string) {
	t.Helper()
	text, err := os.ReadFile("../../../server/answer/testdata/zones.yaml")
	if err != nil {
		t.Fatal(err)
	}
	catalog, builder := zones.NewCatalog(time.Now), snapshot.NewBuilder(time.Now)
	shot, _ := builder.Update(catalog,
		catalog.Apply(zones.Batch{Revision: 7, Full: true, Changes: changes(t, string(text), 7)}), nil)
	view := steer.NewView(shot.Program(), steer.Sight{State: func(health.Target) health.State {
		return health.Up
	}}, nil)
	scenarios, err := os.ReadFile("../../../server/answer/testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(scenarios)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[0] == "dig" && !strings.Contains(line, "class=") && !strings.Contains(line, "opcode=") {
			questions = append(questions, [2]string{f[1], f[2]})
		}
	}
	return answer.State{Snapshot: shot, View: view}, questions
}

// TestExplanationIsTheAnswer compares the explained answer with the server's answer for all questions of the server's
// own scenarios: chains to their last link, loops, aliases out of our zones, DNAMEs, referrals, policies.
func TestExplanationIsTheAnswer(t *testing.T) {
	state, questions := answered(t)
	if len(questions) < 150 {
		t.Fatalf("only %d questions", len(questions))
	}
	answers, err := answer.New(answer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answers.Publish(state)
	s, err := socket.New(socket.Options{Listen: []string{"127.0.0.1:0"}, Workers: 1}, answers)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown(t.Context())
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn}
	texts := map[string]string{}
	for _, q := range questions {
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		m := new(dns.Msg)
		m.SetQuestion(q[0], dns.StringToType[q[1]])
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		r, err := c.ReadMsg()
		if err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		e, err := control.Explain(&state, q[0], q[1], "127.0.0.1")
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
