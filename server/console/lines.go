package console

import (
	"fmt"
	"math"
	"strings"

	"leeward/server/admin"
)

// Line is a series of values. NaN stands for one that was not observed.
type Line struct {
	Name   string
	Values []float64
}

// lineChart draws lines over time. Each line is told apart by its dashes and its name, not by colour alone.
type lineChart struct {
	Width, Height int
	Title         string
	Text          string // the whole chart in words, for those who do not see it
	Lines         []drawnLine
	Grid          []gridLine
	From, To      string
}

type drawnLine struct {
	Class, Path, Name string
	Last              string // the last value
}

type gridLine struct {
	Y    int
	Text string
}

const (
	chartWidth, chartHeight = 640, 170
	chartLeft, chartTop     = 56, 12
	chartBottom             = chartHeight - 12
	mostLines               = 6
)

// plot draws lines over x, which must ascend. top is the upper end of the value axis; 0 stands for what the largest
// value needs. plot returns nil if there are fewer than two values to draw.
func plot(title, unit string, x []float64, lines []Line, top float64, when func(float64) string) *lineChart {
	if len(x) < 2 || x[len(x)-1] <= x[0] {
		return nil
	}
	known := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) && v >= 0 }
	most := top
	if top == 0 {
		for _, l := range lines {
			for _, v := range l.Values {
				if known(v) {
					most = max(most, v)
				}
			}
		}
		most = roundUp(most)
	}
	c := &lineChart{
		Width: chartWidth, Height: chartHeight, Title: title, From: when(x[0]), To: when(x[len(x)-1]),
	}
	at := func(i int, v float64) (int, int) {
		return chartLeft + round((x[i]-x[0])/(x[len(x)-1]-x[0])*(chartWidth-chartLeft-8)),
			chartBottom - round(min(v/most, 1)*(chartBottom-chartTop))
	}
	told := []string{title + ", from " + c.From + " to " + c.To}
	for k, l := range lines[:min(len(lines), mostLines)] {
		var path strings.Builder
		pen, last, points := false, math.NaN(), 0
		low, high := math.Inf(1), 0.
		for i, v := range l.Values[:min(len(l.Values), len(x))] {
			if !known(v) {
				pen = false
				continue
			}
			px, py := at(i, v)
			if pen {
				fmt.Fprintf(&path, "L%d %d", px, py)
			} else {
				fmt.Fprintf(&path, "M%d %d", px, py)
			}
			pen, last, low, high = true, v, min(low, v), max(high, v)
			points++
		}
		if points < 2 {
			continue
		}
		c.Lines = append(c.Lines, drawnLine{
			Class: fmt.Sprintf("line-%d", k), Path: path.String(), Name: l.Name, Last: admin.Figure(last) + unit,
		})
		told = append(told, fmt.Sprintf("%s: least %s%s, most %s%s, last %s%s", l.Name, admin.Figure(low), unit,
			admin.Figure(high), unit, admin.Figure(last), unit))
	}
	if len(c.Lines) == 0 {
		return nil
	}
	for _, part := range []float64{0, .5, 1} {
		y := chartBottom - round(part*(chartBottom-chartTop))
		c.Grid = append(c.Grid, gridLine{y, admin.Figure(part*most) + unit})
	}
	c.Text = strings.Join(told, "; ")
	return c
}

// roundUp returns the next 1, 2 or 5 times a power of ten. It never returns 0.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, by := range []float64{1, 2, 5} {
		if v <= by*power*(1+1e-9) {
			return by * power
		}
	}
	return 10 * power
}
