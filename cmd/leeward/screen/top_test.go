package screen

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leeward/server/answer"
)

func TestTop(t *testing.T) {
	n := func(minute, five uint64) answer.TopCount {
		return answer.TopCount{LastMinute: minute, LastFiveMinutes: five}
	}
	top := &answer.Top{
		Server: "ams-1", Windows: [2]float64{60, 300},
		Clients: answer.TopList{All: n(6000, 24000), Rows: []answer.TopRow{
			{What: "192.0.2.0/24", AtLeast: n(6000, 24000), AtMost: n(6000, 24000)},
		}},
		Names: answer.TopList{All: n(6000, 24000), Others: n(60, 310), Uncounted: n(0, 2), Rows: []answer.TopRow{
			{What: "www.example.test", AtLeast: n(3000, 9000), AtMost: n(3060, 9300)},
			{What: "x\x1b[2J.test", AtLeast: n(1, 1), AtMost: n(60, 300)},
		}},
	}
	var b strings.Builder
	if err := Top(NewPageOf(&b, 80), top, true, true, false); err != nil {
		t.Fatal(err)
	}
	const want = `ams-1: 100 queries a second in the last minute. Nobody else asked in five
    minutes.

CLIENTS       A SECOND (1 MIN)  (5 MIN)  SHARE (1 MIN)
192.0.2.0/24  100               80       100 %

ams-1: 100 queries a second in the last minute. Nobody who is not listed had
    more than 1 a second, and 1.03 over five minutes.
2 queries of five minutes are in no row.

NAME              A SECOND (1 MIN)  (5 MIN)     SHARE (1 MIN)
www.example.test  50 to 51          30 to 31    50 %
x?[2J.test        0.02 to 1         <0.01 to 1  0 %
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(- want, + got)\n%s", d)
	}
}
