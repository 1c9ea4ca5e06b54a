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
)

// wire passes connections on to etcd until it is cut. Then they stay open and nothing comes through.
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

// A connection that is cut while a watch begins, and one that is cut later, end it in time: the client itself would
// wait until etcd has made the watch.
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

// A watch tells all that happens in its range, in order, one revision at a time, and when it has told all.
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
