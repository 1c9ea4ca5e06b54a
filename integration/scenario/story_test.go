//go:build linux

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"leeward/integration/lab"
)

// story is a scenario as its file tells it. testdata/scenarios/README.md says how they are written.
type story struct {
	name, row, title string
	faults           bool // it takes long, and runs only when asked for
	plan             lab.Plan
	blocks           []block
	limits           map[string]float64 // "changes", "lost seconds", … → at most
}

// block is what happens at one time, and what must hold from then on.
type block struct {
	line  int
	after time.Duration // since what must hold in the block before does
	steps []step
}

// step is one line of a block.
type step struct {
	line   int
	text   string
	kind   stepKind
	within time.Duration
	word   *word
	args   []string
}

type stepKind int

const (
	happens   stepKind = iota // it happens
	bounded                   // it must hold within a time of the block's beginning
	meanwhile                 // it must hold until the next block begins
)

// readStory reads a scenario. Errors name the file and the line.
func readStory(file string) (*story, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &story{name: strings.TrimSuffix(filepath.Base(file), ".txt"), plan: lab.Usual, limits: map[string]float64{}}
	s.plan.Seed = 1
	for i, line := range strings.Split(string(text), "\n") {
		indented := strings.HasPrefix(line, " ")
		line, _, _ = strings.Cut(line, " # ")
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		switch {
		case indented && len(s.blocks) > 0:
			err = s.step(i+1, line)
		case indented:
			err = fmt.Errorf("nothing has begun yet: the first step comes below a line such as \"after 1s\"")
		default:
			err = s.head(i+1, line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, i+1, line, err)
		}
	}
	if len(s.blocks) == 0 || s.title == "" || s.row == "" {
		return nil, fmt.Errorf("%s: a scenario has a row, a title and at least one \"after\"", file)
	}
	return s, nil
}

// head reads a line that is not indented: the beginning of a block, or a setting before the first one.
func (s *story) head(number int, line string) (err error) {
	key, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch key {
	case "after", "then":
		b := block{line: number}
		if key == "after" {
			b.after, err = time.ParseDuration(rest)
		}
		s.blocks = append(s.blocks, b)
	case "row":
		s.row = rest
	case "title":
		s.title = rest
	case "runs":
		switch rest {
		case "always":
		case "by make faults":
			s.faults = true
		default:
			return fmt.Errorf("a scenario runs always, or by make faults")
		}
	case "ttl":
		s.plan.TTL, err = time.ParseDuration(rest)
	case "seed":
		s.plan.Seed, err = strconv.ParseUint(rest, 10, 64)
		if err == nil && s.plan.Seed == 0 {
			err = fmt.Errorf("a seed is 1 or more")
		}
	case "monitor":
		return s.monitor(strings.Fields(rest))
	case "servers":
		if commit, ok := strings.CutPrefix(rest, "are of "); ok {
			s.plan.Version = commit
			return nil
		}
		what, n, _ := strings.Cut(strings.TrimPrefix(rest, "have "), " ")
		number, bad := strconv.Atoi(what)
		switch {
		case bad != nil:
			return fmt.Errorf("write: servers have 64 descriptors; or: servers have 100 MiB")
		case n == "descriptors":
			s.plan.Descriptors = number
		case n == "MiB":
			s.plan.Memory = number
		default:
			return fmt.Errorf("servers have descriptors, or MiB of memory")
		}
	case "clocks":
		if rest != "of their own" {
			return fmt.Errorf("write: clocks of their own")
		}
		s.plan.Clocks = true
	case "disk":
		if rest != "small" {
			return fmt.Errorf("a disk is only ever small")
		}
		s.plan.SmallDisk = true
	case "etcd":
		s.plan.Etcd = strings.Fields(rest)
	case "at":
		what, n, ok := strings.Cut(strings.TrimPrefix(rest, "most "), " ")
		if !ok {
			return fmt.Errorf("write: at most 1 changes")
		}
		s.limits[n], err = strconv.ParseFloat(what, 64)
	default:
		return fmt.Errorf("no such setting; there are row, title, runs, ttl, seed, monitor, etcd, disk, clocks, servers, at most, and the beginnings of blocks, after and then")
	}
	return err
}

func (s *story) monitor(fields []string) (err error) {
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

// step reads an indented line.
func (s *story) step(number int, line string) (err error) {
	st := step{line: number, text: line}
	b := &s.blocks[len(s.blocks)-1]
	rest := line
	switch {
	case strings.HasPrefix(line, "within "):
		st.kind = bounded
		limit, what, ok := strings.Cut(strings.TrimPrefix(line, "within "), ":")
		if !ok {
			return fmt.Errorf("write: within 5s: what must hold")
		}
		if st.within, err = time.ParseDuration(limit); err != nil {
			return err
		}
		rest = strings.TrimSpace(what)
	case strings.HasPrefix(line, "meanwhile: "):
		st.kind = meanwhile
		rest = strings.TrimPrefix(line, "meanwhile: ")
	}
	if st.word, st.args, err = spoken(rest, st.kind != happens); err != nil {
		return err
	}
	b.steps = append(b.steps, st)
	return nil
}

// spoken returns the word that a line says, and what stands for its words in capitals.
func spoken(line string, holds bool) (*word, []string, error) {
	for i := range words {
		w := &words[i]
		if (w.check != nil) != holds {
			continue
		}
		if args, ok := w.match(line); ok {
			return w, args, nil
		}
	}
	return nil, nil, fmt.Errorf("nothing known is said so; TestScenarioWords -v prints what can be said")
}

// match says whether a line is this pattern, and returns what stands for its words in capitals. A last "…" takes all
// that is left.
func (w *word) match(line string) (args []string, ok bool) {
	pattern, fields := strings.Fields(w.pattern), strings.Fields(line)
	for i, p := range pattern {
		switch {
		case p == "…":
			if len(fields) <= i {
				return nil, false
			}
			at := 0 // what is left, with its spaces
			for range i {
				at += len(line[at:]) - len(strings.TrimLeft(line[at:], " "))
				at += strings.IndexByte(line[at:], ' ')
			}
			return append(args, strings.TrimSpace(line[at:])), true
		case len(fields) <= i:
			return nil, false
		case p == strings.ToUpper(p) && strings.ToLower(p) != p:
			args = append(args, strings.TrimSuffix(fields[i], ","))
		case p != fields[i]:
			return nil, false
		}
	}
	return args, len(pattern) == len(fields)
}
