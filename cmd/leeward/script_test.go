//go:build !noembed

package main

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"leeward/cmd/leeward/embedded"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leeward": main})
}

// TestScript runs testdata/script/*.txt, each with a prefix of its own in one etcd. It adds commands to those of
// testscript. put KEY VALUE and del KEY do what etcdctl does. stored KEY TEXT expects TEXT in the value (with "none",
// no such key; with "!" before it, TEXT must not be in the value). leased KEY [LEAST MOST] expects a lease of so many
// seconds. status N COMMAND… expects an exit status. offered TEXT COMMAND… repeats a command until it prints that line.
func TestScript(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })

	within := func(ts *testscript.TestScript, f func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		ts.Check(f(ctx))
	}
	wants := func(ts *testscript.TestScript, neg bool, args []string, n int) {
		if neg || len(args) != n {
			ts.Fatalf("wrong use of a test command with %q", args)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LEEWARD_ETCD", etcd.URL())
			env.Setenv("LEEWARD_PREFIX", "/"+filepath.Base(env.WorkDir)+"/")
			env.Setenv("LEEWARD_LOG_LEVEL", "error")
			env.Setenv("USER", "tester")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or else each command takes a second longer with -race
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"put": func(ts *testscript.TestScript, neg bool, args []string) {
				wants(ts, neg, args, 2)
				within(ts, func(ctx context.Context) error {
					_, err := client.Put(ctx, ts.Getenv("LEEWARD_PREFIX")+args[0], args[1])
					return err
				})
			},
			"del": func(ts *testscript.TestScript, neg bool, args []string) {
				wants(ts, neg, args, 1)
				within(ts, func(ctx context.Context) error {
					_, err := client.Delete(ctx, ts.Getenv("LEEWARD_PREFIX")+args[0])
					return err
				})
			},
			"stored": func(ts *testscript.TestScript, neg bool, args []string) {
				wants(ts, false, args, 2)
				within(ts, func(ctx context.Context) error {
					r, err := client.Get(ctx, ts.Getenv("LEEWARD_PREFIX")+args[0])
					switch {
					case err != nil:
						return err
					case args[1] == "none" && len(r.Kvs) == 0:
					case len(r.Kvs) == 0:
						ts.Fatalf("%s is not there", args[0])
					case args[1] == "none", strings.Contains(string(r.Kvs[0].Value), args[1]) == neg:
						ts.Fatalf("%s is %s, want %s in it: %v", args[0], r.Kvs[0].Value, args[1], !neg)
					}
					return nil
				})
			},
			"leased": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 1 && len(args) != 3 {
					ts.Fatalf("usage: leased KEY [LEAST MOST]")
				}
				within(ts, func(ctx context.Context) error {
					r, err := client.Get(ctx, ts.Getenv("LEEWARD_PREFIX")+args[0])
					if err == nil && (len(r.Kvs) == 0 || (r.Kvs[0].Lease != 0) == neg) {
						ts.Fatalf("%s: keys %d, want a lease: %v", args[0], len(r.Kvs), !neg)
					}
					if err == nil && len(args) == 3 {
						l, err := client.TimeToLive(ctx, clientv3.LeaseID(r.Kvs[0].Lease))
						if err != nil {
							return err
						}
						least, _ := strconv.ParseInt(args[1], 10, 64)
						most, _ := strconv.ParseInt(args[2], 10, 64)
						if l.GrantedTTL < least || l.GrantedTTL > most {
							ts.Fatalf("%s: a lease of %d s", args[0], l.GrantedTTL)
						}
					}
					return err
				})
			},
			// offered runs a command until a line of its output is TEXT: what completes words gives up after a second.
			"offered": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: offered TEXT COMMAND…")
				}
				for end := time.Now().Add(time.Minute); ; {
					err := ts.Exec(args[1], args[2:]...)
					switch out := ts.ReadFile("stdout"); {
					case err == nil && slices.Contains(strings.Split(out, "\n"), args[0]):
						return
					case time.Now().After(end):
						ts.Fatalf("%s is not offered within a minute", args[0])
					}
				}
			},
			// status checks the exit status of a command.
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: status N COMMAND…")
				}
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("exit status %s, want %s", got, args[0])
				}
			},
		},
	})
}
