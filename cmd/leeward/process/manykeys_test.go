package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

// BenchmarkManyKeys is the cost of 10,000 signed zones with a key each, apart from their signatures: reading the keys
// at a start, looking at them again, a change of one of them, and a look at rolls. held/zone is the octets of the keys
// in use.
func BenchmarkManyKeys(b *testing.B) {
	const n = 10_000
	folder := b.TempDir()
	secrets := filepath.Join(folder, "secrets")
	if err := os.WriteFile(secrets, []byte(secretLine(1)), 0o600); err != nil {
		b.Fatal(err)
	}
	s, _, err := KeySecretFile(secrets)
	if err != nil {
		b.Fatal(err)
	}
	since := time.Now().Add(-24 * time.Hour)
	all, sealed, settings := []*zones.Zone{}, map[string][]byte{}, map[rr.Name]*zones.Zone{}
	files := filepath.Join(folder, "keys")
	for i := range n {
		origin, err := rr.ParseName(fmt.Sprintf("z%d.test", i))
		if err != nil {
			b.Fatal(err)
		}
		first, err := dnssec.First(origin, dnssec.ECDSAP256, false, since)
		if err != nil {
			b.Fatal(err)
		}
		value, err := s.Seal(&first[0])
		if err != nil {
			b.Fatal(err)
		}
		sealed[first[0].Place().String()] = value
		for ending, text := range map[string]func() (string, error){
			".key": func() (string, error) { return first[0].Public(), nil }, ".private": first[0].Private,
		} {
			content, err := text()
			if err := errors.Join(err, os.MkdirAll(files, 0o700), os.WriteFile(
				filepath.Join(files, first[0].FileName()+ending), []byte(content), 0o600)); err != nil {
				b.Fatal(err)
			}
		}
		z := &zones.Zone{Origin: rr.TrimDot(origin.String()), DNSSEC: &zones.DNSSEC{
			Enabled: true, Roll: &zones.Rolling{KSK: zones.Duration(365 * 24 * time.Hour)},
		}}
		all, settings[origin] = append(all, z), z
	}
	ring := func(o Settings) *keyring {
		o.Log = slog.New(slog.DiscardHandler)
		k := newKeyring(&o, func(string, *dnssec.Keys, error) {})
		k.makes = false
		k.want(all)
		return k
	}
	fromEtcd := func() *keyring {
		k := ring(Settings{Etcd: &etcd.Options{}, KeySecrets: secrets})
		k.start()
		k.take(&zones.Batch{Full: true, Revision: 1, Sealed: sealed})
		return k
	}
	fromFiles := func() *keyring {
		k := ring(Settings{Keys: files})
		k.start()
		return k
	}
	for what, start := range map[string]func() *keyring{"etcd": fromEtcd, "files": fromFiles} {
		b.Run(what+"/start", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before, began := held(), spent(b)
				b.StartTimer()
				k := start()
				b.StopTimer()
				b.ReportMetric((spent(b)-began).Seconds()*1000, "cpu-ms/op")
				b.ReportMetric(float64(held()-before)/n, "held/zone")
				if len(k.known) != n {
					b.Fatalf("%d keys are known", len(k.known))
				}
				b.StartTimer()
			}
		})
		b.Run(what+"/again", func(b *testing.B) {
			k := start()
			began := spent(b)
			for b.Loop() {
				if !k.once() {
					b.Fatal("something is wrong")
				}
			}
			costs(b, began)
		})
	}
	b.Run("etcd/change", func(b *testing.B) {
		k := fromEtcd()
		for place, value := range sealed {
			began := spent(b)
			for b.Loop() {
				k.take(&zones.Batch{Revision: 2, Sealed: map[string][]byte{place: value}})
			}
			costs(b, began)
			break
		}
	})
	b.Run("etcd/rolls", func(b *testing.B) {
		k := fromEtcd()
		r := &roller{
			id: "a", log: k.log, now: time.Now, elapsed: func() time.Duration { return 0 }, ring: k,
			words: map[rr.Name]*dnssec.Word{}, waits: map[rr.Name]string{}, asked: map[rr.Name]granted{},
			settings: func(context.Context) (map[rr.Name]*zones.Zone, error) { return settings, nil },
			does:     func(rr.Name, *dnssec.Keys, time.Time) bool { return true },
			rest:     func(*zones.Zone) time.Duration { return time.Hour },
			servers: func(context.Context) ([]heardOf, error) {
				return []heardOf{{Server: admin.Server{ID: "a"}}}, nil
			},
		}
		began := spent(b)
		for b.Loop() {
			r.look(b.Context())
		}
		costs(b, began)
		if len(r.waits) > 0 {
			b.Fatal(len(r.waits), "rolls wait")
		}
	})
}

// costs reports the processor time since began, which does not depend on what else runs.
func costs(b *testing.B, began time.Duration) {
	b.Helper()
	b.ReportMetric((spent(b)-began).Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// spent returns the processor time of this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held returns how many octets are in use.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
