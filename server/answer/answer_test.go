package answer

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write the answers that there are now into testdata/answers.txt; read the "+
	"difference")

// TestAnswers asks what testdata/answers.txt asks, and compares whole responses. "fail" and "mend" lines change the
// verdict of an endpoint, "#" lines say why a case is there.
func TestAnswers(t *testing.T) {
	const file = "testdata/answers.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	s := newResponder(t)
	s.Publish(f.state())
	workers := map[Transport]*Worker{udp: s.newWorker(udp), tcp: s.newWorker(tcp)}
	var got strings.Builder
	asked := 0
	for number, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		got.WriteString(line + "\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "", "#":
		case "fail", "mend":
			f.down[rest] = verb == "fail"
			s.Publish(f.state())
		default:
			q, err := readInquiry(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, number+1, err)
			}
			asked++
			m := ask(t, workers[q.proto], q)
			if m == nil {
				got.WriteString("> nothing\n")
				continue
			}
			got.WriteString(show(m))
			if len(m.Question) != 1 || m.Question[0] != q.message.Question[0] {
				t.Errorf("%s:%d: the question came back as %v", file, number+1, m.Question)
			}
		}
	}
	if asked < 40 {
		t.Fatalf("only %d questions in %s", asked, file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, have := strings.Split(string(text), "\n"), strings.Split(got.String(), "\n")
	for i := range want {
		if i >= len(have) || want[i] != have[i] {
			t.Fatalf("%s:%d differs; from there on the answers are\n%s", file, i+1,
				strings.Join(have[min(i, len(have)):min(i+8, len(have))], "\n"))
		}
	}
}

func TestNoStateIsServFail(t *testing.T) {
	s := newResponder(t)
	s.Publish(State{})
	q, _ := readInquiry("dig www.example.test. A edns=1232 tcp")
	m := ask(t, s.newWorker(tcp), q)
	if m.Rcode != dns.RcodeServerFailure || !strings.Contains(show(m), "ede=14") {
		t.Errorf("not SERVFAIL with Not Ready: %s", show(m))
	}
	s.Publish(newFixture(t).state())
	if m := ask(t, s.newWorker(tcp), q); m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
		t.Errorf("not an answer once there is a state: %s", show(m))
	}
}

func TestNotAQueryIsDropped(t *testing.T) {
	w := newResponder(t).newWorker(udp)
	response := new(dns.Msg)
	response.SetQuestion("www.example.test.", dns.TypeA)
	response.Response = true
	packed, _ := response.Pack()
	for _, request := range [][]byte{nil, {}, make([]byte, 11), packed} {
		if out := w.answer(request, loopback, make([]byte, 0, 512)); len(out) > 0 {
			t.Errorf("% x was answered with % x", request, out)
		}
	}
	if w.tally[droppedShort] != 4 {
		t.Errorf("counted %d drops, not 4", w.tally[droppedShort])
	}
}

// If nothing but the header of a message can be read, the response is FORMERR with its ID, without a question.
func TestFormErr(t *testing.T) {
	w := newResponder(t).newWorker(udp)
	out := w.answer([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63}, loopback, make([]byte, 0, 512))
	want := []byte{0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	if string(out) != string(want) {
		t.Errorf("% x, not % x", out, want)
	}
}

// The response repeats the question in the case it was asked in (0x20), and so does the answer's owner.
func TestCaseIsKept(t *testing.T) {
	w := newResponder(t).newWorker(udp)
	for _, name := range []string{"MaIl.ExAmPlE.tEsT.", "wWw.eXample.TEST.", "NO.wild.Example.Test."} {
		q, _ := readInquiry("dig " + name + " A")
		m := ask(t, w, q)
		if m.Question[0].Name != name || len(m.Answer) == 0 || m.Answer[0].Header().Name != name {
			t.Errorf("asked for %s: %s", name, m)
		}
	}
}

// A panic while answering costs only that response. It is counted each time, and logged at most once a second.
func TestFaultIsSurvived(t *testing.T) {
	var log logLines
	s := newResponder(t, func(o *Options) { o.Log = log.logger() })
	w := s.newWorker(udp)
	q, _ := readInquiry("dig www.example.test. A")
	request, _ := q.message.Pack()
	broken := *s.state.Load()
	broken.Snapshot = nil
	s.state.Store(&broken) // Publish would never let this through
	for range 5 {
		if out := w.answer(request, loopback, make([]byte, 0, 512)); out != nil {
			t.Fatalf("answered from nothing: % x", out)
		}
	}
	if w.tally[droppedPanic] != 5 || log.count("a fault while answering") != 1 {
		t.Errorf("counted %d faults and logged %d, not 5 and 1", w.tally[droppedPanic],
			log.count("a fault while answering"))
	}
	s.Publish(newFixture(t).state())
	if m := ask(t, w, q); m == nil || m.Rcode != dns.RcodeSuccess {
		t.Error("no answer after the fault")
	}
}
