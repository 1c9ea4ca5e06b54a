package dnstap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Target says where messages go.
type Target struct {
	network string // "unix", "tcp"; "": a file
	address string
}

// ParseTarget reads "unix:/run/dnstap.sock", "tcp:127.0.0.1:6000", or the path of a file.
func ParseTarget(s string) (Target, error) {
	network, address, named := strings.Cut(s, ":")
	switch {
	case s == "":
		return Target{}, errors.New("it is empty; write unix:PATH, tcp:HOST:PORT, or a file's path")
	case named && network == "unix" && address != "":
		return Target{network, address}, nil
	case named && network == "tcp":
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return Target{}, fmt.Errorf("%q is not HOST:PORT; write tcp:127.0.0.1:6000", address)
		}
		return Target{network, address}, nil
	case named && !strings.ContainsAny(network, "/."):
		return Target{}, fmt.Errorf("%q is no kind of target; write unix:PATH, tcp:HOST:PORT, or a file's path (./%s)",
			network, s)
	}
	return Target{address: s}, nil
}

func (t Target) String() string {
	if t.network == "" {
		return t.address
	}
	return t.network + ":" + t.address
}

// sink is an open target. Writing and closing take no longer than patience.
type sink struct {
	io.Writer
	file *os.File // nil: conn is used
	conn net.Conn // nil: file is used

	hurried atomic.Bool // the process is ending
}

// deadliner is a connection or a file.
type deadliner interface{ SetDeadline(time.Time) error }

func (s *sink) deadliner() deadliner {
	if s.conn != nil {
		return s.conn
	}
	return s.file
}

// hurry gives a follower that does not read only a moment more.
func (s *sink) hurry() {
	s.hurried.Store(true)
	_ = s.deadliner().SetDeadline(time.Now().Add(lastPatience))
}

// lastPatience is the patience while the server stops.
const lastPatience = 300 * time.Millisecond

// patience is how long a follower may take to read what it is sent, or to answer.
const patience = 5 * time.Second

// open opens the target and begins a stream. It moves an existing file aside, as readers refuse a second stream in a
// file.
func (t Target) open(ctx context.Context, now time.Time) (*sink, error) {
	if t.network != "" {
		d := net.Dialer{Timeout: patience}
		c, err := d.DialContext(ctx, t.network, t.address)
		if err != nil {
			return nil, err
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if err := greet(c); err != nil {
			_ = c.Close()
			return nil, err
		}
		return &sink{Writer: c, conn: c}, nil
	}
	info, err := os.Stat(t.address)
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		if err := os.Rename(t.address, t.address+now.UTC().Format(".20060102T150405.000000Z")); err != nil {
			return nil, err
		}
	}
	// O_NONBLOCK, so that a FIFO that nobody reads does not block.
	f, err := os.OpenFile(t.address, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if errors.Is(err, syscall.ENXIO) {
		return nil, errors.New("nobody reads the FIFO")
	}
	if err != nil {
		return nil, err
	}
	s := &sink{Writer: f, file: f}
	if err := s.write(control(controlStart, true)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// write writes all of b, or fails within patience.
func (s *sink) write(b []byte) error {
	wait := patience
	if s.hurried.Load() {
		wait = lastPatience
	}
	_ = s.deadliner().SetDeadline(time.Now().Add(wait)) // a regular file has no deadline, and needs none
	if wait == patience && s.hurried.Load() {
		s.hurry()
	}
	_, err := s.Writer.Write(b)
	return err
}

// moved reports whether the path no longer leads to the open file.
func (s *sink) moved(t Target) bool {
	if s.file == nil {
		return false
	}
	mine, err := s.file.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(t.address)
	return err != nil || !os.SameFile(mine, there)
}

// close ends the stream. whole says that the last write was complete.
func (s *sink) close(whole bool) {
	if whole && s.write(control(controlStop, false)) == nil && s.conn != nil {
		_ = s.conn.SetReadDeadline(time.Now().Add(lastPatience))
		_, _ = await(s.conn, controlFinish)
	}
	if s.conn != nil {
		_ = s.conn.Close()
		return
	}
	_ = s.file.Close()
}
