package chart

import (
	"fmt"
	"math"
	"slices"
)

// Axis is what values are drawn along.
type Axis struct {
	Label string
	Unit  string // behind each number
	Log   bool   // logarithmic; a value that is not above 0 is a gap
	Time  bool   // in seconds, with ticks at the spans that people count time in

	// Least and Most are the ends; where both are 0, the values choose them. A logarithmic axis begins above 0.
	Least, Most float64
}

func (a Axis) set() bool { return a.Least != 0 || a.Most != 0 }

// scale is an axis whose ends are known, and where they are drawn.
type scale struct {
	Axis
	from, to float64
	step     float64   // between two ticks of a linear axis
	round    []float64 // the round numbers from 1 on and below 10
}

// tick is a number on an axis, and where it is drawn.
type tick struct {
	value, at float64
	text      string
}

// over returns the axis as drawn between two places. Where it has no ends of its own, it ends at the values.
func (a Axis) over(values []float64, from, to float64) scale {
	s := scale{Axis: a, from: from, to: to}
	if !a.set() {
		s.span(values)
	}
	s.round = []float64{1, 2, 5}
	if s.Log && s.Most > 1e3*s.Least { // ticks at 2 and 5 would be too close
		s.round = []float64{1}
	}
	s.step = s.above((s.Most - s.Least) / ticks)
	if s.Time {
		s.step = period((s.Most - s.Least) / ticks)
	}
	return s
}

// span puts the ends where the least and the largest value are.
func (s *scale) span(values []float64) {
	s.Least, s.Most = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if s.knows(v) {
			s.Least, s.Most = min(s.Least, v), max(s.Most, v)
		}
	}
	if s.Least > s.Most { // there is nothing to draw
		s.Least, s.Most = 1, 1
	}
	if s.Least == s.Most {
		s.Most += max(1, math.Abs(s.Most))
	}
}

// rounded moves the ends out to ticks, where the values have chosen them.
func (a Axis) rounded(values []float64, from, to float64) scale {
	s := a.over(values, from, to)
	switch {
	case a.set():
	case s.Log:
		s.Least, s.Most = s.below(s.Least), s.above(s.Most)
	default:
		s.Least, s.Most = math.Floor(s.Least/s.step)*s.step, math.Ceil(s.Most/s.step*(1-1e-9))*s.step
	}
	return s
}

// knows reports whether the value has a place on the axis.
func (s scale) knows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!s.Log || v > 0)
}

// place returns where a value is drawn: at the border if it is beyond the axis.
func (s scale) place(v float64) float64 {
	part := (v - s.Least) / (s.Most - s.Least)
	if s.Log {
		part = math.Log(v/s.Least) / math.Log(s.Most/s.Least)
	}
	return s.from + min(max(part, 0), 1)*(s.to-s.from)
}

// ticks is how many ticks an axis has, more or less.
const ticks = 5

// exact is enough digits for the number at any tick, and too few to show what floating point adds to it.
const exact = 10

// ticks returns the round numbers on the axis.
func (s scale) ticks() (all []tick) {
	add := func(v float64, text string) {
		all = append(all, tick{v, s.place(v), text + s.Unit})
	}
	if s.Log {
		for v := s.above(s.Least); v <= s.Most*(1+1e-9); v = s.above(1.5 * v) {
			add(v, number(v, exact))
		}
		return all
	}
	for i := int(math.Ceil(s.Least/s.step - 1e-9)); float64(i)*s.step <= s.Most+s.step*1e-9; i++ {
		v := float64(i) * s.step
		if s.Time {
			add(v, seconds(v, s.step))
		} else {
			add(v, number(v, exact))
		}
	}
	return all
}

// above returns the least round number that is not below v, for v above 0.
func (s scale) above(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range s.round {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// below returns the largest that is not above v.
func (s scale) below(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range slices.Backward(s.round) {
		if m*power <= v*(1+1e-9) {
			return m * power
		}
	}
	return power
}

// Number spells a value as people write it, with four digits: 150k.
func Number(v float64) string { return number(v, 4) }

func number(v float64, digits int) string {
	switch a := math.Abs(v); {
	case a >= 1e6 && a < 1e9:
		return fmt.Sprintf("%.*gM", digits, v/1e6)
	case a >= 1e4 && a < 1e6:
		return fmt.Sprintf("%.*gk", digits, v/1e3)
	}
	return fmt.Sprintf("%.*g", digits, v)
}

// period returns a span that people count time in, of that many seconds or more.
func period(s float64) float64 {
	for _, t := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200} {
		if t >= s {
			return t
		}
	}
	return math.Ceil(s/14400) * 14400
}

// seconds spells a time on an axis whose ticks are that far apart.
func seconds(s, step float64) string {
	if step < 60 {
		return fmt.Sprintf("%.0f s", s)
	}
	return fmt.Sprintf("%.4g min", s/60)
}
