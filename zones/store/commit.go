package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"leeward/zones"
)

// Plan is what a writer wants to change.
type Plan struct {
	Edits []zones.Edit

	// OnPurpose says which command takes something away ("delete", "apply --prune"), so that the servers' guard lets it
	// through. Empty: the guard judges.
	OnPurpose string
	Alone     bool   // only these removals are on purpose: what the guard holds back already stays held
	By        string // who, for meta/accepted

	Leases map[zones.Key]time.Duration // the keys that go by themselves after a while, at least 1 s

	// Owners gives resources to somebody: those that the edits put, and those that stay as they are. Who deletes one
	// deletes its mark.
	Owners map[zones.Key]string

	Progress func(done, all int) // called after each transaction where there are several; may be nil
}

// Committed is what a writer has changed.
type Committed struct {
	Revision     int64 // of the last transaction; of the listing if nothing was to be done
	Keys         []zones.Key
	Transactions int
}

// ErrConflict says that someone else changed what the change relies upon. Nothing of that transaction was done.
var ErrConflict = errors.New("someone else changed the same resources, or what they refer to, meanwhile")

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

// Change lists everything, lets plan say what to change (it validates what the result would be), and commits that, all
// again where someone else was faster or etcd changed its leader. plan's error ends it.
func (e *Etcd) Change(ctx context.Context, plan func(*Listing) (Plan, error)) (Committed, error) {
	var done Committed
	total := 0 // as planned first: later plans have only what is left
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
			done.Keys = append(done.Keys, some.Keys...)
			done.Transactions += some.Transactions
			if err == nil {
				return done, nil
			}
			err = e.unwell(ctx, err)
		}
		if ctx.Err() != nil || attempt+1 == attempts || !errors.Is(err, ErrConflict) && !fleeting(err) {
			return done, e.sofar(done, total, err)
		}
		e.log.Debug("etcd: trying the change again", "attempt", attempt+1, "err", err)
		t := time.NewTimer(time.Duration((0.5 + e.o.Dice()) * float64(20*time.Millisecond<<min(attempt, 5))))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return done, e.sofar(done, total, ctx.Err())
		}
	}
}

// Commit makes the edits if all that they rely upon is still as in base: in one transaction where etcd takes it, else
// in several, puts in the order of zones.Kinds and then deletions in the reverse one. It returns what it has done even
// where it fails; ErrConflict is among the errors.
func (e *Etcd) Commit(ctx context.Context, base *Listing, p Plan) (Committed, error) {
	done, err := e.commit(ctx, base, p)
	if err != nil {
		err = e.sofar(done, len(p.Edits), e.unwell(ctx, err))
	}
	return done, err
}

func (e *Etcd) sofar(done Committed, all int, err error) error {
	if len(done.Keys) == 0 {
		return err
	}
	return &partial{len(done.Keys), all, done.Keys[len(done.Keys)-1], err}
}

func (e *Etcd) unwell(ctx context.Context, err error) error {
	if errors.Is(err, ErrConflict) {
		return err
	}
	return e.why(ctx, err)
}

// fleeting reports whether a failure is one of a moment: a member or a leader lost. Whether the transaction was made is
// not known then; the next listing shows.
func fleeting(err error) bool {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code() == codes.Unavailable
	}
	s, ok := status.FromError(err)
	// A member that is being stopped passes on what its raft says without a code.
	return ok && (s.Code() == codes.Unavailable || s.Code() == codes.Unknown && strings.Contains(s.Message(), "raft: stopped"))
}

// commitment is a commit under way.
type commitment struct {
	*Etcd
	base *Listing
	plan Plan
	done Committed

	mine  map[zones.Key]int64 // what it has written so far; 0: deleted
	wrote map[string]bool     // the folders, and folders in folders, that it has put something in
}

func (e *Etcd) commit(ctx context.Context, base *Listing, p Plan) (Committed, error) {
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
func (e *Etcd) prepare(base *Listing, p Plan) (*commitment, []write, error) {
	c := &commitment{Etcd: e, base: base, plan: p, done: Committed{Revision: base.Revision}, mine: map[zones.Key]int64{}, wrote: map[string]bool{}}
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
			writes = append(writes, write{edit: zones.Edit{Key: k}, only: true, owner: p.Owners[k], had: base.revision(k) != 0})
		}
	}
	return c, writes, nil
}

// marks says what becomes of the mark of a resource that is written.
func (w *write) marks(base *Listing, owners map[zones.Key]string) {
	w.owner = owners[w.edit.Key]
	w.had = base.revision(w.edit.Key) != 0
	if w.value == nil {
		_, there := base.mark(w.edit.Key)
		w.owner, w.unmark = "", there || base.marks == nil // it may be there
	}
}

// place orders edits: puts as in Kinds, then deletions the other way round.
func place(e zones.Edit) int {
	i := slices.Index(zones.Kinds[:], e.Key.Kind())
	if e.New == nil {
		return 2*len(zones.Kinds) - i
	}
	return i
}

// write is one operation to be.
type write struct {
	edit  zones.Edit
	value []byte // nil: a deletion

	only   bool   // nothing but the mark is written
	owner  string // of the mark that is put; "": none is
	unmark bool   // the mark goes
	had    bool   // the resource is there
}

// ops returns how many operations it is.
func (w *write) ops() int {
	if !w.only && (w.owner != "" || w.unmark) {
		return 2
	}
	return 1
}

// octets returns about how long its operations are, below a prefix of that length.
func (w *write) octets(prefix int) int {
	n := prefix + len(w.edit.Key) + len(w.value) + aroundOp
	if w.owner != "" || w.unmark {
		n += prefix + len(owners) + len(w.edit.Key) + len(w.owner) + aroundOp
	}
	return n
}

// fit returns how many of the writes the next transaction holds, at least one, and what it relies upon.
func (c *commitment) fit(writes []write) (int, *premises) {
	p := newPremises()
	octets, ops := 0, 0
	for i, w := range writes {
		p.write(w, c.base)
		octets += w.octets(len(c.o.Prefix))
		if ops += w.ops(); i > 0 && (ops > mostWrites || p.count() > mostCompares || octets+p.octets(len(c.o.Prefix)) > mostOctets) {
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

// aroundOp is what etcd's protocol puts around the key and the value of an operation or a comparison, octets at most,
// where it is nested.
const aroundOp = 32

// transact makes some writes in one transaction, all or none.
func (c *commitment) transact(ctx context.Context, writes []write, premises *premises) (err error) {
	var ops []clientv3.Op
	purpose := false
	var leases []clientv3.LeaseID
	defer func() {
		if err != nil {
			c.revoke(leases)
		}
	}()
	for _, w := range writes {
		key := c.path(w.edit.Key)
		switch {
		case w.owner != "":
			ops = append(ops, clientv3.OpPut(c.path(markOf(w.edit.Key)), w.owner))
		case w.unmark:
			ops = append(ops, clientv3.OpDelete(c.path(markOf(w.edit.Key))))
		}
		if w.only {
			continue
		}
		if w.value == nil {
			purpose = purpose || c.plan.OnPurpose != ""
			ops = append(ops, clientv3.OpDelete(key))
			continue
		}
		var options []clientv3.OpOption
		if span := c.plan.Leases[w.edit.Key]; span > 0 {
			id, err := c.lease(ctx, span)
			if err != nil {
				return err
			}
			leases = append(leases, id)
			options = append(options, clientv3.WithLease(id))
		}
		ops = append(ops, clientv3.OpPut(key, string(w.value), options...))
	}
	if purpose {
		key := accepted
		if c.plan.Alone {
			key = meant
		}
		ops = append(ops, clientv3.OpPut(c.o.Prefix+key, acceptance{By: c.plan.By, Time: c.o.Now(), For: c.plan.OnPurpose}.value()))
	}
	compares, err := c.compares(ctx, premises)
	if err != nil {
		return err
	}
	revision, err := c.transaction(ctx, compares, ops)
	if err != nil {
		return err
	}
	c.done.Revision = revision
	c.done.Transactions++
	for _, w := range writes {
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
		c.mine[accepted] = revision
	}
	return nil
}

// compares turns premises into the transaction's comparisons.
func (c *commitment) compares(ctx context.Context, p *premises) ([]clientv3.Cmp, error) {
	var cs []clientv3.Cmp
	for k := range p.keys {
		revision, ours := c.mine[k]
		if !ours {
			revision = c.base.revision(k)
			if k == accepted {
				revision = c.base.Accepted
			} else if of, ok := strings.CutPrefix(string(k), owners); ok {
				m, _ := c.base.mark(zones.Key(of))
				revision = m.revision
			}
		}
		cs = append(cs, clientv3.Compare(clientv3.ModRevision(c.path(k)), "=", revision))
	}
	for r := range p.ranges {
		bound, err := c.bound(ctx, r)
		if err != nil {
			return nil, err
		}
		cs = append(cs, clientv3.Compare(clientv3.ModRevision(c.o.Prefix+r), "<", bound+1).WithRange(after(c.o.Prefix+r)))
	}
	return cs, nil
}

// bound returns the revision up to which a range is known to have been written by nobody else: the listing's, or that
// of the commit's own last transaction, once it is seen that what is newer than the listing is the commit's own.
func (c *commitment) bound(ctx context.Context, r string) (int64, error) {
	if !c.wrote[r] {
		return c.base.Revision, nil
	}
	from := c.o.Prefix + r
	for {
		answer, err := c.get(ctx, c.client, from, clientv3.WithRange(after(c.o.Prefix+r)), clientv3.WithKeysOnly(),
			clientv3.WithRev(c.done.Revision), clientv3.WithMinModRev(c.base.Revision+1), clientv3.WithLimit(page))
		if err != nil {
			return 0, err
		}
		for _, kv := range answer.Kvs {
			if c.mine[zones.Key(kv.Key[len(c.o.Prefix):])] != kv.ModRevision {
				return 0, ErrConflict
			}
		}
		if !answer.More || len(answer.Kvs) == 0 {
			return c.done.Revision, nil
		}
		from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
	}
}

// lease asks for a lease, in whole seconds, rounded up.
func (c *commitment) lease(ctx context.Context, span time.Duration) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	answer, err := c.client.Grant(ctx, int64((span+time.Second-1)/time.Second))
	if err != nil {
		return 0, err
	}
	return answer.ID, nil
}

// revoke gives back leases that no key got. What cannot be given back runs out by itself.
func (c *commitment) revoke(leases []clientv3.LeaseID) {
	for _, id := range leases {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, _ = c.client.Revoke(ctx, id)
		cancel()
	}
}

func (a acceptance) value() string {
	a.Time = a.Time.UTC().Truncate(time.Second)
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // text and a time always have a JSON form
	}
	return string(b)
}
