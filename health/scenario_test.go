package health

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarios plays testdata/*.txt. A line is a command or, after "#", why:
//
//	assign ENDPOINT region=R [pool=P] [address=A] [quorum=Q] [vantages=N] [interval=D]   another target
//	unassign ENDPOINT
//	place VANTAGE… region=R     where they are
//	alive VANTAGE…              these send heartbeats every 2 s from now on (stale after 10 s)
//	silent VANTAGE…             these stop
//	own VANTAGE                 this process itself
//	pace VANTAGE…               these say that they send heartbeats every 2 s
//	report vantage=V endpoint=E up|down|unknown [address=A|*] [sequence=N] [valid=D] [reason=TEXT]
//	monitor fall=N rise=N hold=D          how results become reports, from here on
//	probe VANTAGE ENDPOINT up|down|unknown…   results, one a second
//	held ENDPOINT VANTAGE D|no  by that vantage's vote, for that long from now on
//	heartbeat vantage=V sequence=N [run=N]   the sequence with which its present run began
//	withdraw vantage=V [endpoint=E]
//	wait DURATION
//	verdict ENDPOINT up|down|unknown [address=A]
//	blind VANTAGE… [IPv4|IPv6]  exactly these are blind, apart from what is said about one family alone
//	chosen ENDPOINT VANTAGE…    exactly these should probe it
//	mine ENDPOINT yes|no        this process should probe it
//	why ENDPOINT TEXT           the verdict's reason contains the text
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := scenario{
				board: NewBoard(), now: time.Unix(1e9, 0), sequence: map[string]uint64{},
				monitor: Tracker{Fall: DefaultFall, Rise: DefaultRise}, trackers: map[string]*Tracker{},
			}
			for i, line := range strings.Split(string(text), "\n") {
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				if err := s.play(line); err != nil {
					t.Fatalf("%s:%d: %s: %v", file, i+1, line, err)
				}
			}
		})
	}
}

type scenario struct {
	board       *Board
	now         time.Time
	assignments []Assignment
	alive       []string
	sequence    map[string]uint64
	monitor     Tracker // new ones are copies of it
	trackers    map[string]*Tracker
}

func (s *scenario) play(line string) error {
	words := strings.Fields(line)
	named := map[string]string{}
	var plain []string
	for i, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if name == "reason" {
			named[name] = strings.TrimPrefix(strings.Join(words[i+1:], " "), "reason=")
			break
		}
		if ok {
			named[name] = value
		} else {
			plain = append(plain, w)
		}
	}
	address := netip.MustParseAddr("192.0.2.1")
	switch a := named["address"]; a {
	case "":
	case "*":
		address = netip.Addr{}
	default:
		address = netip.MustParseAddr(a)
	}
	sequence := func(v string) (uint64, error) {
		if n := named["sequence"]; n != "" {
			return strconv.ParseUint(n, 10, 64)
		}
		s.sequence[v]++
		return s.sequence[v], nil
	}
	defer func() { s.board.Judge(s.now) }()
	switch words[0] {
	case "assign":
		m := &Monitor{HTTP: &HTTP{}}
		if q := named["quorum"]; q != "" {
			if m.Quorum.UnmarshalJSON([]byte(q)) != nil && m.Quorum.UnmarshalJSON([]byte(strconv.Quote(q))) != nil {
				return fmt.Errorf("quorum %s", q)
			}
		}
		if n := named["vantages"]; n != "" {
			var err error
			if m.Vantages, err = strconv.Atoi(n); err != nil {
				return err
			}
		}
		if d := named["interval"]; d != "" {
			interval, err := time.ParseDuration(d)
			if err != nil {
				return err
			}
			m.Interval = Duration(interval)
		}
		pool, _, _ := strings.Cut(plain[0], "/")
		s.assignments = append(s.assignments, Assignment{
			Target: Target{plain[0], address}, Pool: pool, Region: named["region"], Monitor: m,
		})
		s.board.Assign(s.assignments)
	case "unassign":
		s.assignments = slices.DeleteFunc(s.assignments, func(a Assignment) bool { return a.Endpoint == plain[0] })
		s.board.Assign(s.assignments)
	case "place":
		for _, v := range plain {
			s.board.Place(v, named["region"])
		}
	case "alive":
		s.alive = append(s.alive, plain...)
		return s.beat()
	case "silent":
		s.alive = slices.DeleteFunc(s.alive, func(v string) bool { return slices.Contains(plain, v) })
	case "own":
		s.board.Own(plain[0])
	case "pace":
		for _, v := range plain {
			s.board.Pace(v, 2*time.Second)
		}
	case "report":
		var state State
		if err := state.UnmarshalText([]byte(plain[0])); err != nil {
			return err
		}
		n, err := sequence(named["vantage"])
		if err != nil {
			return err
		}
		var valid time.Duration
		if d := named["valid"]; d != "" {
			if valid, err = time.ParseDuration(d); err != nil {
				return err
			}
		}
		s.board.Report(s.now, Report{
			Vantage: named["vantage"], Target: Target{named["endpoint"], address}, State: state, Sequence: n,
			ValidFor: valid, Reason: named["reason"],
		})
	case "monitor":
		var err [3]error
		s.monitor.Fall, err[0] = strconv.Atoi(named["fall"])
		s.monitor.Rise, err[1] = strconv.Atoi(named["rise"])
		s.monitor.Hold, err[2] = time.ParseDuration(named["hold"])
		return errors.Join(err[:]...)
	case "probe":
		tracker := s.trackers[plain[0]+plain[1]]
		if tracker == nil {
			copied := s.monitor
			tracker = &copied
			s.trackers[plain[0]+plain[1]] = tracker
		}
		for _, word := range plain[2:] {
			var result State
			if err := result.UnmarshalText([]byte(word)); err != nil {
				return err
			}
			s.now = s.now.Add(time.Second)
			if tracker.Observe(s.now, result) {
				s.sequence[plain[0]]++
				s.board.Report(s.now, Report{
					Vantage: plain[0], Target: Target{plain[1], address}, State: tracker.State(),
					Sequence: s.sequence[plain[0]], Held: tracker.Held(),
				})
			}
			s.board.Judge(s.now)
		}
	case "held":
		for _, v := range s.board.Verdict(Target{plain[0], address}).Votes {
			if v.Vantage != plain[1] {
				continue
			}
			got := "no"
			if !v.Held.IsZero() {
				got = v.Held.Sub(s.now).String()
			}
			if got != plain[2] {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		}
		return fmt.Errorf("there is no such vote")
	case "heartbeat":
		n, err := sequence(named["vantage"])
		if err != nil {
			return err
		}
		if run := named["run"]; run != "" {
			began, err := strconv.ParseUint(run, 10, 64)
			if err != nil {
				return err
			}
			s.board.Began(named["vantage"], began)
		}
		s.board.Heartbeat(s.now, named["vantage"], n, 10*time.Second)
	case "withdraw":
		if e := named["endpoint"]; e != "" {
			s.board.Withdraw(named["vantage"], e)
		} else {
			s.board.Withdraw(named["vantage"])
		}
	case "wait":
		d, err := time.ParseDuration(plain[0])
		if err != nil {
			return err
		}
		until := s.now.Add(d)
		for next := s.now.Add(2 * time.Second); !next.After(until); next = next.Add(2 * time.Second) {
			s.now = next
			if err := s.beat(); err != nil {
				return err
			}
		}
		s.now = until
		s.board.Judge(s.now)
	case "verdict":
		t := Target{plain[0], address}
		if got := s.board.State(t); got.String() != plain[1] {
			return fmt.Errorf("it is %s: %+v", got, s.board.Verdict(t))
		}
	case "blind":
		var got []string
		for _, v := range s.board.Vantages(s.now) {
			if v.Blind {
				got = append(append(got, v.Vantage), v.BlindTo...)
			}
		}
		if !slices.Equal(got, plain) {
			return fmt.Errorf("blind are %v: %+v", got, s.board.Vantages(s.now))
		}
	case "chosen":
		if got := s.board.Verdict(Target{plain[0], address}).Chosen; !slices.Equal(got, plain[1:]) {
			return fmt.Errorf("chosen are %v", got)
		}
	case "mine":
		if got := s.board.Mine(Target{plain[0], address}); got != (plain[1] == "yes") {
			return fmt.Errorf("it is %v: %+v", got, s.board.Verdict(Target{plain[0], address}))
		}
	case "why":
		t := Target{plain[0], address}
		if why := s.board.Verdict(t).Why; !strings.Contains(why, strings.Join(plain[1:], " ")) {
			return fmt.Errorf("it is %q", why)
		}
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}

func (s *scenario) beat() error {
	for _, v := range s.alive {
		s.sequence[v]++
		s.board.Heartbeat(s.now, v, s.sequence[v], 10*time.Second)
	}
	s.board.Judge(s.now)
	return nil
}
