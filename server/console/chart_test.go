package console

import (
	"testing"

	"leeward/server/admin"
)

// The map is told in sentences, one a region, and those first that need somebody.
func TestSpoken(t *testing.T) {
	row := func(name string, r admin.Region, words string, share *portion, to ...string) regionRow {
		r.Region = name
		state, said := regionState(&r)
		if words != "" {
			state, said = "part", words
		}
		return regionRow{Region: r, State: state, Words: said, Share: share, To: to}
	}
	well := admin.Region{Pools: 2, Available: 2, Healthy: 4, Endpoints: 4}
	half, ill, out, drained, down := well, well, well, well, well
	half.Available, ill.Healthy, out.Available, drained.Override, down.Override = 1, 3, 0, "drain", "down"
	for want, rows := range map[string][]regionRow{
		"There is one region. a answers.": {row("a", well, "", nil)},
		"Of 2 regions, 2 answer. Shares are of the answers that this server gave in the last minute. " +
			"a answers, and gave >99 % of the answers. " +
			"b answers, and gave <1 % of the answers, where 40 % were meant.": {
			row("a", well, "", &portion{Counted: true, Minute: .999}),
			row("b", well, "", &portion{Counted: true, Minute: .001, Known: true, Meant: .4}),
		},
		"Of 8 regions, 2 are out, 3 answer in part, 1 is taken out by an operator, 1 answers and 1 has no pool. " +
			"b is out. e is out; its clients go to a, c, d, f and 1 more. c answers in part, with 1 of 2 pools. " +
			"d answers, with 3 of 4 endpoints up. f answers, and carries more than its target. " +
			"g is drained by an operator; its clients go to a. a answers. h has no pool.": {
			row("a", well, "", &portion{}), row("b", out, "", nil), row("c", half, "", nil), row("d", ill, "", nil),
			row("e", out, "", nil, "a", "c", "d", "f", "g"), row("f", well, "answers; over its target", nil),
			row("g", drained, "", nil, "a"), row("h", admin.Region{}, "", nil),
		},
		"There is one region. a is set down by an operator.": {row("a", down, "", nil)},
	} {
		if got := spoken(rows); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
