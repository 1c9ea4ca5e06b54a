//go:build !noembed

package etcd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// wire passes connections on to etcd until it is cut. Then they stay open, and nothing comes through.
type wire struct {
	net.Listener
	cut atomic.Bool
}

func startWire(t *testing.T, url string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); l.Close() })
	pass := func(to, from net.Conn) {
		context.AfterFunc(ctx, func() { to.Close() })
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil && !w.cut.Load() {
				to.Close()
				return
			}
			if w.cut.Load() {
				<-ctx.Done()
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil && err != io.EOF {
				return
			}
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				near.Close()
				continue
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return w
}

// A watch ends in time if its connection is cut while it begins, or later. The client itself would wait until etcd has
// made the watch.
func TestWatchFallsSilent(t *testing.T) {
	c := start(t, 1)[0]
	put(t, c, "pools/a", "x")
	for _, begun := range []bool{false, true} {
		w := startWire(t, c.Endpoints[0])
		through, err := Dial(Options{
			Endpoints: []string{w.Addr().String()}, Silence: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer through.Close()
		at, err := through.Here(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !begun {
			w.cut.Store(true)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		err = through.Watch(ctx, Watch{After: at, Told: func(n News) error {
			if n.All {
				w.cut.Store(true)
			}
			return nil
		}})
		stop()
		if !errors.Is(err, ErrSilent) {
			t.Errorf("begun %v: %v, want that it has been silent", begun, err)
		}
	}
}

// A watch delivers all that happens in its range, in order, one revision at a time, and says when that was all.
func TestWatch(t *testing.T) {
	c := start(t, 1)[0]
	at, err := c.Here(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin().Put("pools/a", []byte("1"), 0).Put("pools/b", []byte("1"),
		0).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, c, "regions/eu", "no pool")
	if _, err := c.Begin().Delete(One("pools/a")).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := put(t, c, "pools/b", "2")
	enough := errors.New("enough")
	var told []string
	var all int64
	err = c.Watch(t.Context(), Watch{Range: Folder("pools/"), After: at, Told: func(n News) error {
		for _, e := range n.Events {
			word := e.Name + "=" + string(e.Value)
			if e.Deleted {
				word = e.Name + " deleted"
			}
			told, all = append(told, word), e.Revision
		}
		if !n.All {
			return nil
		}
		return enough
	}})
	want := []string{"pools/a=1", "pools/b=1", "pools/a deleted", "pools/b=2"}
	if !errors.Is(err, enough) || !slices.Equal(told, want) || all != last {
		t.Errorf("told %q up to revision %d, %v; want %q up to %d", told, all, err, want, last)
	}
	if _, err := c.Client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := c.Watch(t.Context(), Watch{After: at, Told: func(News) error {
		return enough
	}}); !errors.Is(err, ErrCompacted) {
		t.Errorf("from what is compacted: %v", err)
	}
	other := Point{ClusterID: at.ClusterID + 1, Revision: last}
	if err := c.Watch(t.Context(), Watch{After: other, Told: func(News) error {
		return enough
	}}); !errors.Is(err, ErrHistory) {
		t.Errorf("after a point of another cluster: %v", err)
	}
}

// While a watch is behind, only events say how far it is. Some versions of etcd claim that everything was sent when a
// large revision is still to come. Where no pulse can come, etcd's word is all there is.
func TestProgressIsNoWordWhileBehind(t *testing.T) {
	const cluster = 7
	response := func(revision int64, events ...int64) *clientv3.WatchResponse {
		r := &clientv3.WatchResponse{Header: &pb.ResponseHeader{ClusterId: cluster, Revision: revision}}
		for _, at := range events {
			kv := &mvccpb.KeyValue{Key: []byte("/leeward/x"), ModRevision: at}
			r.Events = append(r.Events, &clientv3.Event{Kv: kv})
		}
		return r
	}
	created := response(12)
	created.Created = true
	for _, trusting := range []bool{false, true} {
		var all []int64 // up to where all had been delivered, each time that this was said
		s := &watching{
			conn: &Conn{cluster: &Cluster{Options: Options{Prefix: DefaultPrefix}}}, trusting: trusting,
			told: Point{ClusterID: cluster, Revision: 9}, begun: make(chan bool, 1),
		}
		s.After = s.told
		s.Told = func(n News) error {
			if n.All {
				all = append(all, s.told.Revision)
			}
			return nil
		}
		for i, r := range []*clientv3.WatchResponse{
			created, response(12), response(13, 10), response(13), response(13, 12), response(13),
		} {
			heard, err := s.take(r)
			lie := !trusting && (i == 1 || i == 3)
			if err != nil || heard == lie {
				t.Errorf("trusting %v, response %d: heard %v, %v", trusting, i, heard, err)
			}
		}
		want := []int64{12, 12}
		if trusting {
			want = []int64{9, 10, 10, 12, 12}
		}
		if !slices.Equal(all, want) {
			t.Errorf("trusting %v: all had been told up to %v, want %v", trusting, all, want)
		}
	}
}

// A watch that is behind only in what lies outside its range soon says that it has delivered all. It writes a pulse. If
// it would not see the pulse, or may not write, it goes by etcd's word on progress.
func TestWatchBehindOfOthers(t *testing.T) {
	c := start(t, 1)[0]
	at, err := c.Here(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	beside := strings.TrimSuffix(DefaultPrefix, "/") + "-of-others"
	if _, err := c.Client.Put(t.Context(), beside, "x"); err != nil {
		t.Fatal(err)
	}
	watch := func(c *Cluster, r Range) (told int) {
		t.Helper()
		enough := errors.New("enough")
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		err := c.Watch(ctx, Watch{Range: r, After: at, Told: func(n News) error {
			if told += len(n.Events); n.All {
				return enough
			}
			return nil
		}})
		if !errors.Is(err, enough) {
			t.Errorf("%v: %v", r, err)
		}
		return told
	}
	if n := watch(c, Folder("pools/")); n != 0 {
		t.Errorf("%d events where no pulse is, want 0", n)
	}
	if n := watch(c, Range{}); n != 1 {
		t.Errorf("%d events, want the pulse", n)
	}

	if at, err = c.Here(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.Put(t.Context(), beside, "x"); err != nil {
		t.Fatal(err)
	}
	_, problem := c.Client.RoleAdd(t.Context(), "reader")
	must := func(_ any, err error) { problem = errors.Join(problem, err) }
	must(c.Client.RoleGrantPermission(t.Context(), "reader", DefaultPrefix, after(DefaultPrefix),
		clientv3.PermissionType(clientv3.PermRead)))
	for user, role := range map[string]string{"root": "root", "reader": "reader"} {
		must(c.Client.UserAdd(t.Context(), user, "secret"))
		must(c.Client.UserGrantRole(t.Context(), user, role))
	}
	must(c.Client.AuthEnable(t.Context()))
	if problem != nil {
		t.Fatal(problem)
	}
	o := c.Options
	o.User, o.Password = "reader", "secret"
	reader, err := Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := watch(reader, Range{}); n != 0 {
		t.Errorf("%d events of who may not write, want 0", n)
	}
}
