package geo

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"
)

// benchmarkTable is the table of the database that LEEWARD_BENCH_CITY names, or one of 3.5 million generated leaves.
func benchmarkTable(b *testing.B) *Table {
	b.Helper()
	if file := os.Getenv("LEEWARD_BENCH_CITY"); file != "" {
		return openAll(b, file)
	}
	places, err := build(func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		v4(0, 0)
		for i := range uint32(2_400_000) {
			v4(1<<24+i*1700, 1+i%60_000)
		}
		v6(0, 0, 0)
		for i := range uint64(1_100_000) {
			v6(0x2001<<48+i<<33, 0, uint32(1+i%60_000))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return &Table{places: *places, systems: *uniform(0), locations: make([]Location, 60_001)}
}

func BenchmarkLocateV4(b *testing.B) {
	locate(b, benchmarkTable(b), func(random *rand.Rand) netip.Addr { return addr4(1<<24 + random.Uint32N(222<<24)) })
}

func BenchmarkLocateV6(b *testing.B) {
	table := benchmarkTable(b)
	locate(b, table, func(random *rand.Rand) netip.Addr { // in known networks, as clients are
		leaf := uint32(table.V4Leaves() + random.IntN(table.Leaves()-table.V4Leaves()))
		start := table.Start(leaf).As16()
		start[7] ^= byte(random.Uint32())
		return netip.AddrFrom16(start)
	})
}

func locate(b *testing.B, table *Table, draw func(*rand.Rand) netip.Addr) {
	random := rand.New(rand.NewPCG(1, 2))
	addresses := make([]netip.Addr, 1<<16)
	for i := range addresses {
		addresses[i] = draw(random)
	}
	var sum uint32
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		sum += table.LocationOf(table.Locate(addresses[i&(1<<16-1)]))
		i++
	}
	runtime.KeepAlive(sum)
}

// BenchmarkOpen reports the time to read a database, and what the table keeps.
func BenchmarkOpen(b *testing.B) {
	var files []string
	if file := os.Getenv("LEEWARD_BENCH_CITY"); file != "" {
		files = append(files, file)
	}
	var table *Table
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		var err error
		table, err = Open(files, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
	b.ReportMetric(float64(table.Leaves()), "leaves")
}
