//go:build !noembed && linux

package demo_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leeward/cmd/leeward/demo"
	"leeward/cmd/leeward/screen"
)

// syncBuffer takes writes and can be read meanwhile.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The whole demo with real parts: a region is cut off, leaves both servers' answers in time, and comes back.
func TestOnce(t *testing.T) {
	var out, log syncBuffer
	err := demo.Run(t.Context(), demo.Options{
		In: strings.NewReader(""), Out: screen.NewPage(&out), Once: true, Fail: "us-east",
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	wants := []string{
		"us-east is cut", "vantage probe-ap reports us-east down", "ns1 agrees: us-east is down",
		"us-east left the answers of ns1",
		"us-east left the answers of ns2", "us-east is restored", "us-east is in the answers of ns2 again",
		"dig @127.0.0.1 -p ",
	}
	switch {
	case errors.Is(err, demo.ErrLate): // everything happened, and how soon depends on this machine
		t.Log(err)
	case err != nil:
		t.Fatalf("%v\n%s\n%s", err, out.String(), log.String())
	default:
		wants = append(wants, "ok: us-east left all answers")
	}
	for _, want := range wants {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the timeline lacks %q:\n%s", want, out.String())
		}
	}
}

// The live view cuts and restores by itself, and ends when it is interrupted, with nothing left running.
func TestLive(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var out syncBuffer
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- demo.Run(ctx, demo.Options{
			In: strings.NewReader(""), Out: screen.NewPage(&out), Fail: "eu-west", After: 100 * time.Millisecond,
			For: 5 * time.Second,
		})
	}()
	at := 0
	for _, want := range []string{
		"eu-west is cut", "answers Europe with us-east", "eu-west is restored",
		"answers Europe with eu-west",
	} {
		at = await(t, &out, at, want, done)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// await returns when the output holds the text after from, and where that ends.
func await(t *testing.T, out *syncBuffer, from int, text string, done <-chan error) int {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(40 * time.Second)
	for {
		if at := strings.Index(out.String()[from:], text); at >= 0 {
			return from + at + len(text)
		}
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("ended (%v) before %q:\n%s", err, text, out.String())
		case <-limit:
			t.Fatalf("no %q:\n%s", text, out.String())
		}
	}
}

func TestFailNamesNoRegion(t *testing.T) {
	err := demo.Run(t.Context(), demo.Options{Out: screen.NewPage(&syncBuffer{}), Fail: "mars"})
	if err == nil || !strings.Contains(err.Error(), "eu-west") {
		t.Errorf("%v", err)
	}
}

// A crowd comes, with real parts. The pools that spill lose less and break less than those that do not. By how much
// depends on this machine.
func TestSurge(t *testing.T) {
	var out syncBuffer
	film, err := demo.Surge(t.Context(), demo.Options{Out: screen.NewPage(&out)})
	if film == nil {
		t.Fatal(err, out.String())
	}
	lost, broken := film.Lost()
	if lost[0] >= lost[1] || broken[0] >= broken[1] || lost[1] < 0.05 {
		t.Errorf("with spill %.1f %% were lost and %d endpoints broke, without %.1f %% and %d:\n%s",
			100*lost[0], broken[0], 100*lost[1], broken[1], out.String())
	}
	var picture bytes.Buffer
	if err := film.Plot(&picture); err != nil || !bytes.HasPrefix(picture.Bytes(), []byte("<svg ")) {
		t.Errorf("the picture: %v", err)
	}
	for _, want := range []string{"explain www.demo.test A --client", "with spill:", "without:", "CROWD"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(line)) > 81 && !strings.Contains(line, "explain ") {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
}
