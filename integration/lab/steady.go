//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Window is a time in which queries need not be answered.
type Window struct{ From, Until time.Time } // until is zero while it is open

func (w Window) Holds(at time.Time) bool {
	return !at.Before(w.From) && (w.Until.IsZero() || at.Before(w.Until))
}

// Stalls are the times in which this process, or a watched one, did not run although it should have, because the
// machine had other work.
type Stalls struct {
	mu  sync.Mutex
	all []Window
}

// leastStall is the shortest stall that counts.
const leastStall = 100 * time.Millisecond

// Watch notes stalls until stop. A ticker shows those of this process. For the other processes, the kernel counts how
// long their threads wait for a core.
func (s *Stalls) Watch(processes func() []*Process) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := time.Now()
			if now.Sub(last) > leastStall {
				s.note(last, now)
			}
			last = now
		}
	})
	if processes != nil {
		running.Go(func() {
			tick := time.NewTicker(250 * time.Millisecond)
			defer tick.Stop()
			before := map[string]time.Duration{}
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				if longest := waited(processes(), before); longest > leastStall {
					now := time.Now()
					s.note(now.Add(-longest), now)
				}
			}
		})
	}
	return func() { close(done); running.Wait() }
}

func (s *Stalls) note(from, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, Window{from, until})
}

// Longest is the longest stall.
func (s *Stalls) Longest() (d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.all {
		d = max(d, w.Until.Sub(w.From))
	}
	return d
}

// Between returns for how long the machine stood still between two times. It counts each instant once.
func (s *Stalls) Between(from, until time.Time) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.all)
	slices.SortFunc(all, func(a, b Window) int { return a.From.Compare(b.From) })
	reached := from
	for _, w := range all {
		begins, ends := w.From, w.Until
		if begins.Before(reached) {
			begins = reached
		}
		if ends.After(until) {
			ends = until
		}
		if ends.After(begins) {
			sum += ends.Sub(begins)
			reached = ends
		}
	}
	return sum
}

// Thread is how long a thread has run, and waited for a core.
type Thread struct{ Ran, Waited time.Duration }

// Threads returns how long the threads of a process have run and waited for a core, by the file that says so.
func Threads(p *Process) map[string]Thread {
	all := map[string]Thread{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Cmd.Process.Pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var ran, waited int64 // ns; what follows is a number of slices
		if _, err := fmt.Sscan(string(text), &ran, &waited); err == nil {
			all[file] = Thread{time.Duration(ran), time.Duration(waited)}
		}
	}
	return all
}

// waited returns the longest that a thread of the processes has waited for a core since the last call. before keeps the
// figures of that call.
func waited(processes []*Process, before map[string]time.Duration) (longest time.Duration) {
	for _, p := range processes {
		for file, thread := range Threads(p) {
			if last, ok := before[file]; ok {
				longest = max(longest, thread.Waited-last)
			}
			before[file] = thread.Waited
		}
	}
	return longest
}

// calm is how long nothing must stall before a failed test is run again.
const calm = 3 * time.Second

// AwaitCalm returns when the machine has not stood still for a while, or not within a minute.
func AwaitCalm() {
	var s Stalls
	defer s.Watch(nil)()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		now := time.Now()
		if now.Sub(began) > time.Minute || now.Sub(began) > calm && s.Between(now.Add(-calm), now) == 0 {
			return
		}
	}
}
