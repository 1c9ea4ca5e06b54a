package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Plan is what a writer wants to change.
type Plan struct {
	Edits []zones.Edit

	// OnPurpose names the command that removes something ("delete", "apply --prune"). The servers' guard then lets the
	// removal pass. If it is empty, the guard decides.
	OnPurpose string
	Alone     bool   // only these removals are on purpose: what the guard holds back stays held
	By        string // who, for meta/accepted

	// keys that expire by themselves after this time, at least 1 s; beyond etcd.MostSpan they do not
	Leases map[zones.Key]time.Duration

	// Owners gives resources their owners, whether or not an edit writes them. A deletion removes the mark.
	Owners map[zones.Key]string

	Progress func(done, all int) // called after each transaction where there are several; may be nil
}

// Committed is what a writer has changed.
type Committed struct {
	Revision     int64 // of the last transaction; of the listing if nothing was to be done
	Resources    int64 // of the last transaction that wrote a resource, not only marks of owners; 0: none did
	Keys         []zones.Key
	Transactions int
}

// partial is an error after which some of the edits are done.
type partial struct {
	done, all int
	last      zones.Key
	err       error
}

func (p *partial) Error() string {
	return fmt.Sprintf("%d of %d changes are made, up to %s; then: %v. What was made is consistent by itself. "+
		"Run the same command again: it goes on from there", p.done, p.all, p.last, p.err)
}

func (p *partial) Unwrap() error { return p.err }

// attempts is how often Change plans anew before it gives up.
const attempts = 12

// Change lists everything, asks plan what to change (plan validates the result), and commits that. It starts again if
// someone else was faster or etcd changed its leader. An error of plan ends it.
func (e *Store) Change(ctx context.Context, plan func(*Listing) (Plan, error)) (Committed, error) {
	var done Committed
	total := 0 // as first planned: later plans have only what is left
	end := time.Now().Add(e.Options.Timeout)
	for attempt := 0; ; attempt++ {
		base, err := e.List(ctx)
		if err == nil {
			var p Plan
			if p, err = plan(base); err != nil {
				return done, e.sofar(done, total, err)
			}
			total = max(total, len(done.Keys)+len(p.Edits))
			var some Committed
			some, err = e.commit(ctx, base, p)
			done.Revision = max(done.Revision, some.Revision)
			done.Resources = max(done.Resources, some.Resources)
			done.Keys = append(done.Keys, some.Keys...)
			done.Transactions += some.Transactions
			if err == nil {
				return done, nil
			}
			err = e.Explain(ctx, err)
		}
		// Try a busy etcd for as long as one call may take. A writer that meets others has had its turns before.
		more := attempt+1 < attempts && errors.Is(err, etcd.ErrConflict) ||
			etcd.Fleeting(err) && (attempt+1 < attempts || time.Now().Before(end))
		if ctx.Err() != nil || !more || !e.again(ctx, attempt, 20*time.Millisecond, err) {
			return done, e.sofar(done, total, err)
		}
	}
}

// again waits before the next plan, so that writers who collided do not collide again. It returns false if ctx ends
// first.
func (e *Store) again(ctx context.Context, attempt int, first time.Duration, err error) bool {
	e.Log().Debug("etcd: trying the change again", "attempt", attempt+1, "err", err)
	return etcd.Sleep(ctx, e.Spread(first<<min(attempt, 5)/2))
}

func (e *Store) sofar(done Committed, all int, err error) error {
	if len(done.Keys) == 0 {
		return err
	}
	return &partial{len(done.Keys), all, done.Keys[len(done.Keys)-1], err}
}

// commitment is a commit under way.
type commitment struct {
	*Store
	base *Listing
	plan Plan
	done Committed

	mine  map[zones.Key]int64 // what it has written so far; 0: deleted
	wrote map[string]bool     // the folders, and the folders in them, that it has put something into
}

// commit makes the edits if everything that they rely upon is still as in base. It uses one transaction if etcd takes
// it, else several: first puts in the order of zones.Kinds, then deletions in the reverse order. It returns what it has
// done even if it fails. ErrConflict is among the errors.
func (e *Store) commit(ctx context.Context, base *Listing, p Plan) (Committed, error) {
	c, writes, err := e.prepare(base, p)
	if err != nil {
		return c.done, err
	}
	for all := len(writes); len(writes) > 0; {
		n, premises := c.fit(writes)
		if err := c.transact(ctx, writes[:n], premises); err != nil {
			return c.done, err
		}
		writes = writes[n:]
		if p.Progress != nil && c.done.Transactions+len(writes) > 1 {
			p.Progress(all-len(writes), all)
		}
	}
	return c.done, nil
}

// prepare puts the edits in order and makes their values.
func (e *Store) prepare(base *Listing, p Plan) (*commitment, []write, error) {
	c := &commitment{
		Store: e, base: base, plan: p, done: Committed{Revision: base.Revision},
		mine: map[zones.Key]int64{}, wrote: map[string]bool{},
	}
	edits := slices.Clone(p.Edits)
	slices.SortStableFunc(edits, func(a, b zones.Edit) int { return place(a) - place(b) })
	writes := make([]write, len(edits))
	for i, ed := range edits {
		w := write{edit: ed}
		if ed.New != nil {
			var err error
			if w.value, err = zones.Encode(ed.New); err != nil {
				return c, nil, fmt.Errorf("%s: %w", ed.Key, err)
			}
		}
		w.marks(base, p.Owners)
		writes[i] = w
	}
	edited := make(map[zones.Key]bool, len(p.Owners))
	for _, ed := range p.Edits {
		edited[ed.Key] = true
	}
	for _, k := range slices.Sorted(maps.Keys(p.Owners)) {
		if !edited[k] {
			had := base.revision(k) != 0
			writes = append(writes, write{edit: zones.Edit{Key: k}, only: true, owner: p.Owners[k], had: had})
		}
	}
	return c, writes, nil
}

// marks decides what happens to the owner's mark of a resource that is written.
func (w *write) marks(base *Listing, owners map[zones.Key]string) {
	w.owner = owners[w.edit.Key]
	w.had = base.revision(w.edit.Key) != 0
	if w.value == nil {
		_, there := base.mark(w.edit.Key)
		w.owner, w.unmark = "", there || base.marks == nil // a mark may be there
	}
}

// place gives the order of edits: puts in the order of Kinds, then deletions in the reverse order.
func place(e zones.Edit) int {
	i := slices.Index(zones.Kinds[:], e.Key.Kind())
	if e.New == nil {
		return 2*len(zones.Kinds) - i
	}
	return i
}

// write is one change to make: of a resource, of its owner's mark, or of both.
type write struct {
	edit  zones.Edit
	value []byte // nil: a deletion

	only   bool   // nothing but the mark is written
	owner  string // of the mark that is put; "": none is
	unmark bool   // the mark goes
	had    bool   // the resource is there
}

// ops returns how many operations the write takes.
func (w *write) ops() int {
	if !w.only && (w.owner != "" || w.unmark) {
		return 2
	}
	return 1
}

// octets returns the approximate length of its operations, with a prefix of that length.
func (w *write) octets(prefix int) int {
	n := prefix + len(w.edit.Key) + len(w.value) + etcd.AroundOp
	if w.owner != "" || w.unmark {
		n += prefix + len(etcd.Owners) + len(w.edit.Key) + len(w.owner) + etcd.AroundOp
	}
	return n
}

// fit returns how many of the writes go into the next transaction, at least one, and what they rely upon.
func (c *commitment) fit(writes []write) (int, *premises) {
	p := newPremises()
	octets, ops := 0, 0
	for i, w := range writes {
		p.write(w, c.base)
		octets += w.octets(len(c.Prefix()))
		ops += w.ops()
		full := ops > etcd.MostWrites || p.count() > etcd.MostCompares ||
			octets+p.octets(len(c.Prefix())) > etcd.MostOctets
		if full && i > 0 {
			return i, c.premises(writes[:i])
		}
	}
	return len(writes), p
}

func (c *commitment) premises(writes []write) *premises {
	p := newPremises()
	for _, w := range writes {
		p.write(w, c.base)
	}
	return p
}

// transact makes some writes in one transaction, all or none.
func (c *commitment) transact(ctx context.Context, writes []write, premises *premises) (err error) {
	t := c.Begin()
	if err := c.compare(ctx, t, premises); err != nil {
		return err
	}
	purpose := false
	var leases []etcd.Lease
	defer func() {
		if err != nil {
			c.revoke(leases)
		}
	}()
	for _, w := range writes {
		key := string(w.edit.Key)
		switch {
		case w.owner != "":
			t.Put(string(markOf(w.edit.Key)), []byte(w.owner), 0)
		case w.unmark:
			t.Delete(etcd.One(string(markOf(w.edit.Key))))
		}
		switch {
		case w.only:
		case w.value == nil:
			purpose = purpose || c.plan.OnPurpose != ""
			t.Delete(etcd.One(key))
		default:
			var lease etcd.Lease
			if span := c.plan.Leases[w.edit.Key]; 0 < span && span <= etcd.MostSpan {
				if lease, err = c.Grant(ctx, span); err != nil {
					return err
				}
				leases = append(leases, lease)
			}
			t.Put(key, w.value, lease)
		}
	}
	if purpose {
		name := etcd.Accepted
		if c.plan.Alone {
			name = etcd.Meant
		}
		t.Put(name, acceptance{By: c.plan.By, Time: c.Options.Now(), For: c.plan.OnPurpose}.value(), 0)
	}
	revision, err := t.Commit(ctx)
	if err != nil {
		return err
	}
	c.done.Revision = revision
	c.done.Transactions++
	for _, w := range writes {
		if !w.only {
			c.done.Resources = revision
		}
		switch {
		case w.only:
		case w.value == nil:
			c.mine[w.edit.Key] = 0
		default:
			c.mine[w.edit.Key] = revision
			for i, letter := range w.edit.Key {
				if letter == '/' {
					c.wrote[string(w.edit.Key[:i+1])] = true
				}
			}
		}
		c.done.Keys = append(c.done.Keys, w.edit.Key)
	}
	if purpose && !c.plan.Alone {
		c.mine[etcd.Accepted] = revision
	}
	return nil
}

// compare turns premises into the transaction's comparisons.
func (c *commitment) compare(ctx context.Context, t *etcd.Txn, p *premises) error {
	for k := range p.keys {
		revision, ours := c.mine[k]
		if !ours {
			revision = c.base.revision(k)
			if k == etcd.Accepted {
				revision = c.base.Accepted
			} else if of, ok := strings.CutPrefix(string(k), etcd.Owners); ok {
				m, _ := c.base.mark(zones.Key(of))
				revision = m.revision
			}
		}
		t.At(string(k), revision)
	}
	for folder := range p.ranges {
		r := etcd.Folder(folder)
		bound := c.base.Revision
		if c.wrote[folder] {
			if err := c.undisturbed(ctx, r); err != nil {
				return err
			}
			bound = c.done.Revision
		}
		t.Calm(r, bound)
	}
	return nil
}

// undisturbed returns ErrConflict if somebody else has put something into the range since the listing. Everything
// newer, up to the last transaction of this commit, must be its own.
func (c *commitment) undisturbed(ctx context.Context, r etcd.Range) error {
	var conflict error
	_, err := c.Read(ctx, c.done.Revision, []etcd.Range{r}, func(kv etcd.KV) {
		if c.mine[zones.Key(kv.Name)] != kv.Revision {
			conflict = etcd.ErrConflict
		}
	}, etcd.KeysOnly(), etcd.Since(c.base.Revision+1))
	if err != nil {
		return err
	}
	return conflict
}

// revoke gives back leases that no key uses. Those it cannot give back run out by themselves.
func (c *commitment) revoke(leases []etcd.Lease) {
	for _, l := range leases {
		_ = c.Within(time.Second).Revoke(context.Background(), l)
	}
}
