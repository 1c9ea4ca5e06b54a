//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// story is a scenario as its text describes it. README.md has the language.
type story struct {
	name, row, title string
	faults           bool // it takes long, and runs only on demand
	plan             lab.Plan
	limits           map[string]float64 // "changes", "lost seconds", … → at most
	blocks           []script.Block[*scenario]
}

type (
	block = script.Block[*scenario]
	step  = script.Step[*scenario]
)

// settings are the lines before a scenario begins.
var settings = []script.Setting[*story]{
	{Line: "row …", Set: func(s *story, a script.Args) error { s.row = a.Text(0); return nil }},
	{Line: "title …", Set: func(s *story, a script.Args) error { s.title = a.Text(0); return nil }},
	{Line: "runs always", Set: func(*story, script.Args) error { return nil }},
	{Line: "runs by make faults", Set: func(s *story, _ script.Args) error { s.faults = true; return nil }},
	{Line: "ttl D", Set: func(s *story, a script.Args) error { s.plan.TTL = a.Duration(0); return nil }},
	{Line: "monitor …", Set: (*story).monitor},
	{Line: "etcd …", Set: func(s *story, a script.Args) error {
		s.plan.Etcd = strings.Fields(a.Text(0))
		return nil
	}},
	{Line: "servers are of COMMIT", Set: func(s *story, a script.Args) error {
		s.plan.Version = a.Text(0)
		return nil
	}},
	{Line: "servers have N descriptors", Set: func(s *story,
		a script.Args,
	) error {
		s.plan.Descriptors = a.Int(0)
		return nil
	}},
	{Line: "servers have N MiB", Set: func(s *story, a script.Args) error { s.plan.Memory = a.Int(0); return nil }},
	{Line: "clocks of their own", Set: func(s *story, _ script.Args) error { s.plan.Clocks = true; return nil }},
	{Line: "disk small", Set: func(s *story, _ script.Args) error { s.plan.SmallDisk = true; return nil }},
	{Line: "seed N", Set: (*story).seed},
	{Line: "at most N …", Set: func(s *story, a script.Args) error { s.limits[a.Text(1)] = a.Number(0); return nil }},
}

func (s *story) seed(a script.Args) (err error) {
	if s.plan.Seed, err = strconv.ParseUint(a.Text(0), 10, 64); err == nil && s.plan.Seed == 0 {
		err = errors.New("a seed is 1 or more")
	}
	return err
}

// monitor reads "interval 500ms fall 3". Words that are not known here become a line of the monitor's document.
func (s *story) monitor(a script.Args) (err error) {
	fields := strings.Fields(a.Text(0))
	for i := 0; i+1 < len(fields); i += 2 {
		v := fields[i+1]
		switch fields[i] {
		case "interval":
			s.plan.Every, err = time.ParseDuration(v)
		case "timeout":
			s.plan.Timeout, err = time.ParseDuration(v)
		case "fall":
			s.plan.Fall, err = strconv.Atoi(v)
		case "rise":
			s.plan.Rise, err = strconv.Atoi(v)
		case "hold":
			s.plan.Hold, err = time.ParseDuration(v)
		default:
			s.plan.Monitor += fields[i] + ": " + v + "\n"
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readStory reads a scenario. Errors name the file and the line.
func readStory(file string) (*story, error) {
	s := &story{plan: lab.Usual, limits: map[string]float64{}}
	s.plan.Seed = 1
	text, err := language.Read(file, s)
	if err != nil {
		return nil, err
	}
	s.name, s.blocks = text.Name, text.Blocks
	if len(s.blocks) == 0 || s.title == "" || s.row == "" {
		return nil, fmt.Errorf("%s: a scenario has a row, a title and at least one \"after\"", file)
	}
	return s, nil
}

// TestStories: a scenario with an unknown line is refused, and the error names the line.
func TestStories(t *testing.T) {
	const head = "row 1\ntitle one\n"
	for _, c := range []struct{ text, wrong string }{
		{head, "at least one \"after\""},
		{"after 1s\n  kill server eu\n", "has a row"},
		{head + "after soon\n", ":3: after soon: "},
		{head + "  kill server eu\n", ":3: kill server eu: nothing has begun yet"},
		{head + "after 1s\n  kill the server eu\n", ":4: kill the server eu: nothing known"},
		{head + "after 1s\n  within 5s kill server eu\n", "write: within 5s: what must hold"},
		{head + "after 1s\n  within 5s: kill server eu\n", "nothing known"}, // it happens, and cannot hold
		{head + "after 1s\n  all agree\n", "nothing known"},                 // it holds, and cannot happen
		{head + "colour green\nafter 1s\n", "no such setting"},
		{head + "runs at night\nafter 1s\n", "no such setting"},
		{head + "after 1s\n  kill server eu,as\n", ":4: kill server eu,as: \"as\" is no region"},
		{head + "after 1s\n  endpoints us/1,ep/2 flap every 1s\n", "\"ep\" is no region"},
		{head + "after 1s\n  endpoints us flap every second\n", "invalid duration"},
	} {
		file := t.TempDir() + "/x.txt"
		lab.Write(t, file, c.text)
		if _, err := readStory(file); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: got %v, want an error with %q", c.text, err, c.wrong)
		}
	}
	file := t.TempDir() + "/x.txt"
	lab.Write(t, file, head+
		"monitor interval 2s fall 5\nat most 3 changes # of region\nthen # at once\n  note  two  words # said\n  "+
		"within 1500ms: clients of eu,us get eu or us/1 from ap\n")
	s, err := readStory(file)
	if err != nil {
		t.Fatal(err)
	}
	if s.plan.Every != 2*time.Second || s.plan.Fall != 5 || s.plan.Rise != lab.Usual.Rise || s.limits["changes"] != 3 ||
		len(s.blocks) != 1 {
		t.Errorf("read as %+v", s)
	}
	steps := s.blocks[0].Steps
	if got := steps[0].Args.Text(0); got != "two  words" {
		t.Errorf("the note is %q", got)
	}
	if got := steps[1].Args.Text(0) + "|" + steps[1].Args.Text(1); got != "eu,us|eu or us/1 from ap" {
		t.Errorf("who gets what is %q", got)
	}
	if got := steps[1].Within; got != 1500*time.Millisecond {
		t.Errorf("within %v", got)
	}
}
