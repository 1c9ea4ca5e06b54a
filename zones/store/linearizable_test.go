//go:build !noembed

package store

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"leeward/zones"
	"leeward/zones/etcd"
	"leeward/zones/sourcetest"
)

// ledger is what the transactions under test write: the data of two records, and the reason of an override, "" if it
// does not exist.
type ledger struct{ a, b, override string }

// deed is one attempt at an operation of a history.
type deed struct {
	// "read", "read b", "read ab", "apply" (a and b in one transaction), "wide" (the same among 150 others), "update"
	// (b), "drain", "restore"
	kind string
	word string // what was added; no two deeds add the same
	seen ledger // what the attempt was planned on, or what it read
}

// model is etcd as it should be. A deed happens at one moment between its begin and its end, and at that moment the
// state is what it has seen. If nobody knows whether a deed was done (its output is false), it may have happened, may
// happen later, or never.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{ledger{}} },
		Step: func(state, input, output any) []any {
			s, d, done := state.(ledger), input.(deed), output.(bool)
			next, holds := s, false
			switch d.kind {
			case "read":
				holds = s == d.seen
			case "read b":
				holds = s.b == d.seen.b
			case "read ab":
				holds = s.a == d.seen.a && s.b == d.seen.b
			case "apply", "wide":
				holds = s.a == d.seen.a && s.b == d.seen.b
				next.a, next.b = plus(s.a, d.word), plus(s.b, d.word)
			case "update":
				holds = s.b == d.seen.b
				next.b = plus(s.b, d.word)
			case "drain":
				holds = s.override == d.seen.override
				next.override = d.word
			case "restore":
				holds = s.override == d.seen.override
				next.override = ""
			}
			switch {
			case holds && done:
				return []any{next}
			case holds:
				return []any{s, next}
			case done:
				return nil
			}
			return []any{s}
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v done: %v", input, output)
		},
	}
	return m.ToModel()
}

func plus(words, word string) string { return strings.TrimPrefix(words+" "+word, " ") }

// history is what was done, by whom and when.
type history struct {
	mu    sync.Mutex
	begin time.Time
	all   []porcupine.Operation
	done  int
	moved *sync.Cond // done has grown
}

func newHistory() *history {
	h := &history{begin: time.Now()}
	h.moved = sync.NewCond(&h.mu)
	return h
}

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

// add adds a deed that began at from and has ended now. A deed that may still happen has no end.
func (h *history) add(client int, from int64, d deed, done bool) {
	to := h.now()
	if !done {
		to = 1 << 62
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, porcupine.Operation{ClientId: client, Input: d, Output: done, Call: from, Return: to})
}

func (h *history) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done++
	h.moved.Broadcast()
}

// reach waits until that many deeds are done.
func (h *history) reach(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.done < n {
		h.moved.Wait()
	}
}

// shown is the ledger in a listing.
func shown(l *Listing) (s ledger) {
	for _, r := range l.Resources() {
		switch r := r.(type) {
		case *zones.Record:
			words := strings.Join(r.Data, " ")
			switch r.Owner {
			case "a":
				s.a = strings.ReplaceAll(words, `"`, "")
			case "b":
				s.b = strings.ReplaceAll(words, `"`, "")
			}
		case *zones.Override:
			s.override = r.Reason
		}
	}
	return s
}

func words(owner, words string) *zones.Record {
	var data []string
	for w := range strings.FieldsSeq(words) {
		data = append(data, `"`+w+`"`)
	}
	return text("example.test", owner, data...)
}

// editsOf returns the edits that a deed makes to what it has seen.
func editsOf(d deed) []zones.Edit {
	o := &zones.Override{Target: "region/eu-west", State: zones.Drain, Reason: d.word}
	switch d.kind {
	case "apply":
		return puts(words("a", plus(d.seen.a, d.word)), words("b", plus(d.seen.b, d.word)))
	case "wide":
		edits := puts(words("a", plus(d.seen.a, d.word)), words("b", plus(d.seen.b, d.word)))
		for i := range others {
			edits = append(edits, puts(words(fmt.Sprintf("other%d", i), d.word))...)
		}
		return edits
	case "update":
		return puts(words("b", plus(d.seen.b, d.word)))
	case "drain":
		return puts(o)
	case "restore":
		if d.seen.override != "" {
			return deletes(o)
		}
	}
	return nil
}

// there reports whether an earlier attempt has done the deed, though its answer was lost.
func there(d deed, s ledger) bool {
	switch d.kind {
	case "apply", "wide", "update":
		return slices.Contains(strings.Fields(s.b), d.word)
	case "drain":
		return s.override == d.word
	}
	return false
}

// others is how many names a wide update has beside those of the ledger: more than etcd takes in a transaction that is
// not nested.
const others = 150

// do does one deed, with as many attempts as it takes. It writes each attempt, and what that attempt saw, into the
// history.
func (h *history) do(ctx context.Context, e *Store, client int, kind, word string) {
	begin := h.now()
	var last *deed // an attempt whose outcome is open
	var from int64
	plan := func(l *Listing) (Plan, error) {
		seen := shown(l)
		read := "read"
		switch kind {
		case "update":
			read = "read b"
		case "wide":
			read = "read ab"
		}
		h.add(client, begin, deed{kind: read, seen: seen}, true)
		if last != nil { // it was refused, or its answer was lost
			h.add(client, from, *last, false)
			last = nil
		}
		d := deed{kind: kind, word: word, seen: seen}
		begin, from = h.now(), h.now()
		edits := editsOf(d)
		if there(d, seen) || len(edits) == 0 {
			return Plan{}, nil
		}
		last = &d
		return Plan{Edits: edits, OnPurpose: purpose(kind), By: "test"}, nil
	}
	var err error
	switch kind {
	case "update":
		_, err = e.ChangeWithin(ctx, Scope{Keys: []zones.Key{words("b", "").Key()}}, plan)
	case "wide":
		s := Scope{Folders: []string{"records/example.test/a/", "records/example.test/b/"}}
		for i := range others {
			s.Folders = append(s.Folders, fmt.Sprintf("records/example.test/other%d/", i))
		}
		_, err = e.ChangeWithin(ctx, s, plan)
	default:
		_, err = e.Change(ctx, plan)
	}
	if last != nil {
		h.add(client, from, *last, err == nil)
	}
	h.finish()
}

// free waits until the ports of a member that was killed are free. On a busy machine, some connection may have one of
// them for a moment.
func (m *member) free() {
	m.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(sourcetest.Patience)
	for _, u := range []string{m.config.ListenClientUrls[0].Host, m.config.ListenPeerUrls[0].Host} {
		for {
			l, err := net.Listen("tcp", u)
			if err == nil {
				l.Close()
				break
			}
			select {
			case <-tick.C:
			case <-limit:
				m.t.Fatalf("the port of a member that was killed is not free: %v", err)
			}
		}
	}
}

func purpose(kind string) string {
	if kind == "restore" {
		return "restore"
	}
	return ""
}

// Four writers run at once, with the transactions of apply, of the dynamic update and of overrides. Each of the three
// members, the leader first, is killed and comes back. Whatever answers are lost, what was read and written could have
// come from a single etcd without failures.
func TestTransactionsAreLinearizable(t *testing.T) {
	members := startCluster(t, 3)
	e := dial(t, func(o *etcd.Options) { o.Timeout = 10 * time.Second }, urls(members)...)
	put(t, e, "regions/eu-west", regionEU)
	put(t, e, "zones/example.test", `{"nameservers":["ns1.example.test"],"hostmaster":"hostmaster@example.test"}`)
	h := newHistory()
	const writers, rounds = 4, 15
	kinds := []string{"apply", "update", "drain", "wide", "update", "restore", "wide"}
	var wg sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), 5*sourcetest.Patience)
	defer stop()
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				h.do(ctx, e, w, kinds[(i+w)%len(kinds)], fmt.Sprintf("w%d-%d", w, i))
			}
		})
	}
	h.reach(writers)
	leader := slices.IndexFunc(members, func(m *member) bool { return m.leads() })
	for k := range members {
		m := members[(leader+k)%len(members)]
		m.kill()
		h.reach((writers*rounds*(2*k+1))/6 + writers)
		m.free()
		m.start()
		m.ready()
		h.reach((writers * rounds * (2*k + 2)) / 6)
	}
	wg.Wait()
	from := h.now()
	h.add(writers, from, deed{kind: "read", seen: shown(list(t, e))}, true)
	open := 0
	for _, op := range h.all {
		if !op.Output.(bool) {
			open++
		}
	}
	t.Logf("%d operations, %d of them refused or of unknown outcome, in %v", len(h.all), open,
		time.Since(h.begin).Round(time.Second))
	switch result, _ := porcupine.CheckOperationsVerbose(model(), h.all, time.Minute); result {
	case porcupine.Illegal:
		for _, op := range h.all {
			t.Logf("client %d %v to %v: %+v %v", op.ClientId, time.Duration(op.Call), time.Duration(op.Return),
				op.Input, op.Output)
		}
		t.Error("no order of these operations explains what was seen")
	case porcupine.Unknown:
		t.Error("whether the history is linearizable could not be found out in a minute")
	}
}

// The check above finds what must not be: a lost update, half of a transaction, a read of something undone, and an old
// state that is read after a new one.
func TestHistoryFindsFaults(t *testing.T) {
	op := func(client int, from, to int64, done bool, d deed) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Call: from, Return: to, Input: d, Output: done}
	}
	apply := func(word string, seen ledger) deed { return deed{"apply", word, seen} }
	read := func(s ledger) deed { return deed{kind: "read", seen: s} }
	both := ledger{a: "x", b: "x"}
	for _, c := range []struct {
		name  string
		ops   []porcupine.Operation
		legal bool
	}{
		{"one after the other", []porcupine.Operation{
			op(0, 0, 10, true, apply("x", ledger{})),
			op(1, 5, 15, true, apply("y", both)), op(2, 20, 21, true, read(ledger{a: "x y", b: "x y"})),
		}, true},
		{"a lost update", []porcupine.Operation{
			op(0, 0, 10, true, apply("x", ledger{})),
			op(1, 0, 10, true, apply("y", ledger{})),
		}, false},
		{"half of a transaction", []porcupine.Operation{
			op(0, 0, 10, true, apply("x", ledger{})),
			op(1, 0, 10, true, read(ledger{a: "x"})),
		}, false},
		{
			"an old state after a new one",
			[]porcupine.Operation{
				op(0, 0, 100, true, apply("x", ledger{})), op(1, 10, 20, true, read(both)),
				op(2, 30, 40, true, read(ledger{})),
			},
			false,
		},
		{"done and not seen", []porcupine.Operation{
			op(0, 0, 10, true, apply("x", ledger{})),
			op(1, 20, 30, true, read(ledger{})),
		}, false},
		{
			"its answer lost, and not done",
			[]porcupine.Operation{op(0, 0, 1<<62, false, apply("x", ledger{})), op(1, 20, 30, true, read(ledger{}))},
			true,
		},
		{
			"its answer lost, and done later",
			[]porcupine.Operation{
				op(0, 0, 1<<62, false, apply("x", ledger{})), op(1, 20, 30, true, read(ledger{})),
				op(1, 40, 50, true, read(both)),
			},
			true,
		},
		{
			"its answer lost, and done on what was not there any more",
			[]porcupine.Operation{
				op(0, 0, 1<<62, false, apply("x", ledger{})),
				op(1, 20, 30, true, deed{"update", "y", ledger{}}),
				op(1, 40, 50, true, read(ledger{a: "x", b: "y x"})),
			},
			false,
		},
		{
			"a word of an override overwritten unseen",
			[]porcupine.Operation{
				op(0, 0, 10, true, deed{"drain", "x", ledger{}}),
				op(1, 20, 30, true, deed{"restore", "", ledger{override: "y"}}),
			},
			false,
		},
	} {
		if got := porcupine.CheckOperations(model(), c.ops); got != c.legal {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
