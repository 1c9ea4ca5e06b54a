package health

import (
	"fmt"
	"net/netip"
	"testing"
)

// BenchmarkMuster measures the cost of one vantage of twelve that comes or goes. Five of them probe each of 100,000
// targets. Every target is looked at once, in one turn of the control loop.
func BenchmarkMuster(b *testing.B) {
	const n = 100_000
	board := NewBoard()
	board.Own("ns0")
	board.Place("ns0", "r0")
	m := &Monitor{TCP: &TCP{Port: 80}}
	as := make([]Assignment, n)
	for i := range as {
		as[i] = Assignment{
			Target: Target{
				fmt.Sprintf("p%d/e%d", i/10, i),
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			}, Pool: fmt.Sprintf("p%d", i/10),
			Region: fmt.Sprintf("r%d", i%3), Monitor: m,
		}
	}
	board.Assign(as)
	var sequence uint64
	for v := 1; v < 12; v++ {
		name := fmt.Sprintf("ns%d", v)
		board.Place(name, fmt.Sprintf("r%d", v%4))
		sequence++
		board.Heartbeat(epoch, name, sequence, 0)
	}
	board.Judge(epoch)
	for i := range as {
		for _, v := range board.chosenNames(board.targets[as[i].Target]) {
			sequence++
			board.Report(epoch, Report{Vantage: v, Target: as[i].Target, State: Up, Sequence: sequence})
		}
	}
	board.Judge(epoch)
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			board.Withdraw("ns11")
		} else {
			sequence++
			board.Place("ns11", "r3")
			board.Heartbeat(epoch, "ns11", sequence, 0)
		}
		board.Judge(epoch)
	}
}
