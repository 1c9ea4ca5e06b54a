//go:build linux

package conformance

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	differSeed   = flag.Uint64("differ.seed", 1, "seed of the differential test's zones and questions; 0 draws one")
	differZones  = flag.Int("differ.zones", 2000, "zones of the differential test, with 50 questions each")
	differShrink = flag.Int("differ.shrink", 4, "how many differences are shrunk")
)

const (
	batchZones = 200 // zones on the servers at a time
	silences   = 20  // unanswered questions that end the test
)

// TestDifferential: Leeward answers as BIND, NSD and Knot do if these agree. All four serve the same generated zones
// and get the same questions. If the three give the same answer, Leeward gives it, too. If they do not, docs/dns.md has
// a line for that kind of disagreement.
//
//	go test ./integration/conformance -run TestDifferential -differ.seed 0 -differ.zones 20000
func TestDifferential(t *testing.T) {
	needPeers(t)
	seed := *differSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed: -differ.seed %d", seed)
	d := &differential{kinds: make(map[string]*kindCount)}
	began := time.Now()
	for number := uint64(0); d.zones < *differZones; number++ {
		var families []*family
		for zones := 0; zones < batchZones && d.zones < *differZones; {
			// A family depends only on the seed and its place, so that any one can be made again.
			w := makeFamily(rand.New(rand.NewPCG(seed, number<<32|uint64(len(families))))).rebased(len(families))
			families = append(families, w)
			zones += len(w.zones)
			d.zones += len(w.zones)
		}
		d.batch(t, families)
		if d.silent.Load() > silences {
			t.Fatalf("too many questions stay without an answer:\n%s", d.silence)
		}
		if len(d.cases) >= 200 { // enough to see what is wrong
			break
		}
	}
	t.Logf("%d zones, %d questions, %v; %d answered alike by all three, %d not; %d explained", d.zones, d.asked.Load(),
		time.Since(began).Round(time.Second), d.alike.Load(), d.unlike.Load(), d.explained.Load())
	if len(d.cases) > 0 {
		t.Errorf("%d answers are not what BIND, NSD and Knot agree on", len(d.cases))
		d.show(t)
	}
	d.report(t)
}

// differential is the counts of one run.
type differential struct {
	zones                int
	asked, alike, unlike atomic.Int64
	explained            atomic.Int64
	unexplained          atomic.Int64 // of these, the explanation has another answer

	silent atomic.Int64 // questions that a server did not answer

	mu      sync.Mutex
	silence string // the first of these
	cases   []*difference
	kinds   map[string]*kindCount
}

// difference is an answer that differs from the one that the three agree on.
type difference struct {
	family  *family // with its base
	probe   probe
	replies [servers]*reply
}

// kindCount is how often the three disagreed in one way, and who agreed with whom.
type kindCount struct {
	total   int
	groups  map[string]int
	example string
}

// batch asks about some families.
func (d *differential) batch(t *testing.T, families []*family) {
	files := make(map[string]string)
	for _, w := range families {
		w.files(files)
	}
	q := startQuartet(t, files)
	defer q.stop()
	todo := make(chan *family)
	explainer := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer explainer.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			a, err := newAsker(q)
			if err != nil {
				t.Error(err)
				for range todo {
				}
				return
			}
			defer a.close()
			for w := range todo {
				for _, p := range w.probes {
					if d.silent.Load() > silences {
						break
					}
					r := a.ask(p)
					if n := d.asked.Add(1); *differExplain > 0 && n%int64(*differExplain) == 0 {
						d.explain(t, &explainer, q.ours.Admin, w, p, r)
					}
					d.judge(w, p, r)
				}
			}
		})
	}
	for _, w := range families {
		todo <- w
	}
	close(todo)
	wg.Wait()
}

// explain compares Leeward's explanation of a question with its answer.
func (d *differential) explain(t *testing.T, client *http.Client, admin string, w *family, p probe, r [servers]*reply) {
	d.explained.Add(1)
	differ, err := explained(client, admin, p, r[ours])
	if (err != nil || differ != "") && d.unexplained.Add(1) <= 5 {
		t.Errorf("an explanation is not the answer: %s %v\n%s", differ, err, transcriptOf(w, p, r))
	}
}

// judge notes the result of one question.
func (d *differential) judge(w *family, p probe, r [servers]*reply) {
	for i, one := range r {
		if one.fault == noResponse && d.silent.Add(1) <= 3 {
			d.mu.Lock()
			d.silence += fmt.Sprintf("%s does not answer:\n%s", serverNames[i], transcriptOf(w, p, r))
			d.mu.Unlock()
		}
	}
	if agree(r) {
		d.alike.Add(1)
		if len(differences(r[ours], r[bind])) > 0 {
			d.mu.Lock()
			d.cases = append(d.cases, &difference{w, p, r})
			d.mu.Unlock()
		}
		return
	}
	d.unlike.Add(1)
	kind := kindOf(w, p, r)
	d.mu.Lock()
	defer d.mu.Unlock()
	alone := r[ours].tc && !r[bind].tc && !r[nsd].tc && !r[knot].tc
	// there we say more, and it may take more
	if alone && !slices.Contains([]string{kindAcross, kindLoop, kindLong, kindANY}, kind) {
		d.cases = append(d.cases, &difference{w, p, r})
	}
	k := d.kinds[kind]
	if k == nil {
		k = &kindCount{groups: make(map[string]int), example: transcriptOf(w, p, r)}
		d.kinds[kind] = k
	}
	k.total++
	k.groups[groups(r)]++
}

// agree says whether the three agree.
func agree(r [servers]*reply) bool {
	return len(differences(r[bind], r[nsd])) == 0 && len(differences(r[bind], r[knot])) == 0
}

// groups says who agrees with whom, as "bind=knot nsd leeward".
func groups(r [servers]*reply) string {
	var out []string
	done := [servers]bool{}
	for _, i := range []int{bind, nsd, knot, ours} {
		if done[i] {
			continue
		}
		group := serverNames[i]
		for _, j := range []int{nsd, knot, ours} {
			if j != i && !done[j] && len(differences(r[i], r[j])) == 0 {
				done[j] = true
				group += "=" + serverNames[j]
			}
		}
		done[i] = true
		out = append(out, group)
	}
	return strings.Join(out, " ")
}

// transcriptOf formats a case for people.
func transcriptOf(w *family, p probe, r [servers]*reply) string {
	var b strings.Builder
	for _, z := range w.zones {
		fmt.Fprintf(&b, "; %s\n%s", z.origin, z.text())
	}
	return b.String() + repliesOf(p, r)
}

func repliesOf(p probe, r [servers]*reply) string {
	var b strings.Builder
	fmt.Fprintf(&b, "? %v\n", p)
	for i, name := range serverNames {
		fmt.Fprintf(&b, "%s: %v", name, r[i])
	}
	return b.String()
}

// report prints the disagreements of the three. docs/dns.md must have a line for each kind.
func (d *differential) report(t *testing.T) {
	doc, err := os.ReadFile("../../docs/dns.md")
	if err != nil {
		t.Error(err)
	}
	_, section, _ := strings.Cut(string(doc), "## Where other servers disagree\n")
	var b strings.Builder
	for _, kind := range slices.SortedFunc(maps.Keys(d.kinds),
		func(x, y string) int { return d.kinds[y].total - d.kinds[x].total }) {
		k := d.kinds[kind]
		fmt.Fprintf(&b, "%6d  %s\n", k.total, kind)
		for _, g := range slices.SortedFunc(maps.Keys(k.groups), func(x, y string) int {
			return k.groups[y] - k.groups[x]
		}) {
			fmt.Fprintf(&b, "        %6d  %s\n", k.groups[g], g)
		}
		if !strings.Contains(section, "| "+kind+" |") {
			t.Errorf("docs/dns.md has no line for %q, on which they disagree:\n%s", kind, k.example)
		}
	}
	t.Logf("where BIND, NSD and Knot disagree:\n%s", b.String())
}
