package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/folder"
	"leeward/zones/store"
)

func newAccept(inv *invocation) *cobra.Command {
	var a accepting
	cmd := &cobra.Command{
		Use:     "accept [KIND NAME… | KIND/NAME…]",
		Short:   "Accept removals that the guard held back",
		GroupID: groupOperate,
		Long: `List the removals that servers hold back, and accept them if they were meant. If
etcd was restored from a backup, or set up anew, servers take nothing from it
until you accept that here, too. On a terminal it asks first.

With names, accept only the removal of these and of what is in them: a zone's
records, a pool's endpoints. All others stay held back.`,
		Example: `  leeward accept --dry-run                # only list it
  leeward accept zone example.test
  leeward accept
  leeward accept --files /etc/leeward     # servers that read this folder`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, keys, err := parseKeys(args)
			switch {
			case err != nil:
				return err
			case len(args) > 0 && len(keys) == 0:
				return misused("name what to accept: leeward accept %s NAME…, or give no name to accept all",
					strings.ToLower(args[0]))
			case a.dir != "" && (a.dryRun || len(keys) > 0 || a.output != "table"):
				return misused("--files goes with all of it and without a list: there, only the servers know what " +
					"they hold back (leeward status)")
			case a.dir != "":
				return inv.touch(a.dir)
			}
			a.keys = keys
			return a.run(cmd.Context(), inv)
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().StringVar(&a.dir, "files", "", "accept for servers that read this folder instead of etcd")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "only list what is held back")
	cmd.Flags().BoolVar(&a.force, "force", false, "do not ask, and accept even if no server holds anything back")
	addOutput(cmd, &a.output, "table", "json")
	inv.complete(cmd, keys)
	return cmd
}

// accepting is one run of the verb.
type accepting struct {
	dir           string
	dryRun, force bool
	output        string
	keys          []zones.Key
}

// backlog is what the guards of the servers hold back, as their status says.
type backlog struct {
	Held     []heldKey `json:"held"`
	More     int       `json:"more"`     // removals that servers hold beyond those that they name
	Strange  []string  `json:"strange"`  // servers that followed another history of etcd
	Revision int64     `json:"revision"` // at which the removals were accepted; 0: they were not
	servers  int       // whose heartbeats are fresh
}

// heldKey is one removal that is held back.
type heldKey struct {
	Resource string   `json:"resource"`
	Why      string   `json:"why"`
	Servers  []string `json:"servers"`
}

func (b *backlog) empty() bool { return len(b.Held)+b.More+len(b.Strange) == 0 }

// heldWithin is how long a server may take to report that it holds something back.
const heldWithin = 2500 * time.Millisecond

func (a *accepting) run(ctx context.Context, inv *invocation) error {
	b, err := inv.backlog(ctx)
	if err != nil {
		return err
	}
	e, err := inv.dial()
	if err != nil {
		return err
	}
	defer e.Close()
	keys := a.keys
	if len(keys) > 0 {
		there, err := e.List(ctx, zones.KindZone)
		if err != nil {
			return err
		}
		if keys, err = b.only(keys, there); err != nil {
			return err
		}
	}
	if a.output == "table" {
		b.print(inv)
	}
	switch {
	case a.dryRun:
		if a.output == "table" && !b.empty() {
			inv.printf("Nothing is accepted: this was a dry run.\n")
		}
		return a.json(inv, b)
	case b.empty() && b.servers > 0 && !a.force && len(keys) == 0:
		return a.json(inv, b)
	case !a.force && a.output == "table" && terminal(inv.in):
		if err := inv.confirm("Let go of these?"); err != nil {
			return errors.New("nothing was accepted, because the answer was not yes")
		}
	}
	if len(keys) > 0 {
		b.Revision, err = e.AcceptKeys(ctx, inv.who(), keys...)
	} else {
		b.Revision, err = e.Accept(ctx, inv.who())
	}
	if err != nil {
		return err
	}
	if a.output == "table" {
		inv.printf("Accepted at revision %d.\n", b.Revision)
	}
	return a.json(inv, b)
}

func (a *accepting) json(inv *invocation, b *backlog) error {
	if a.output != "json" {
		return nil
	}
	return writeJSON(inv.out, b)
}

// backlog asks what servers hold back. If that is nothing it waits for heldWithin, because they may not have said so
// yet.
func (inv *invocation) backlog(ctx context.Context) (*backlog, error) {
	var b *backlog
	err := inv.statuses(ctx, inv.etcd.patience(), func(s *admin.Status, took time.Duration) (done bool) {
		b = backlogOf(s.Servers)
		return !b.empty() || took >= heldWithin
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// backlogOf merges what the servers with fresh heartbeats report.
func backlogOf(servers []admin.Server) *backlog {
	b := &backlog{Held: []heldKey{}, Strange: []string{}}
	for _, s := range servers {
		if !s.Fresh {
			continue
		}
		b.servers++
		b.More = max(b.More, s.Held-len(s.HeldFirst))
		if s.Source.State == string(zones.HistoryChanged) {
			b.Strange = append(b.Strange, s.ID)
		}
		for _, h := range s.HeldFirst {
			i, there := slices.BinarySearchFunc(b.Held, h.Resource, func(k heldKey,
				name string,
			) int {
				return strings.Compare(k.Resource, name)
			})
			if !there {
				b.Held = slices.Insert(b.Held, i, heldKey{Resource: h.Resource, Why: h.Why})
			}
			b.Held[i].Servers = append(b.Held[i].Servers, s.ID)
		}
	}
	return b
}

// only keeps what is named, or is within what is named, and returns its keys. If servers hold more than they list, any
// name is taken, because it may be among the rest.
func (b *backlog) only(named []zones.Key, there *store.Listing) (keys []zones.Key, err error) {
	origins := map[string]bool{}
	for _, c := range there.Changes {
		origins[c.Key.Name()] = true
	}
	for _, h := range b.Held {
		if k := zones.Key(h.Resource); k.Kind() == zones.KindZone {
			origins[k.Name()] = true
		}
	}
	in := func(k, holder zones.Key) bool {
		if k.Kind() == zones.KindPolicy {
			return holder == zones.KeyOf(zones.KindZone, closest(k.Name(), origins))
		}
		return strings.HasPrefix(string(k), string(holder)+"/") || within(k, map[zones.Key]bool{holder: true})
	}
	hit := map[zones.Key]bool{}
	var left []heldKey
	for _, h := range b.Held {
		k, taken := zones.Key(h.Resource), false
		for _, n := range named {
			if k == n || in(k, n) {
				hit[n], taken = true, true
			}
		}
		if taken {
			keys, left = append(keys, k), append(left, h)
		}
	}
	for _, n := range named {
		switch {
		case hit[n]:
		case b.More > 0:
			keys = append(keys, n)
		default:
			return nil, fmt.Errorf("nothing of %s is held back; leeward accept --dry-run lists what is", n)
		}
	}
	b.Held, b.More, b.Strange = left, 0, []string{}
	return keys, nil
}

func (b *backlog) print(inv *invocation) {
	switch {
	case b.empty() && b.servers == 0:
		inv.printf("No server is heard of, so nobody knows what they hold back.\n")
		return
	case b.empty():
		inv.printf("Nothing is held back by %s.\n", count(b.servers, "server"))
		return
	}
	t := &screen.Table{Heads: []string{"HELD BACK", "WHY", "BY"}}
	for _, h := range b.Held {
		t.Add(screen.Cell{Text: h.Resource}, screen.Cell{Text: h.Why}, screen.Cell{Text: strings.Join(h.Servers, " ")})
	}
	if len(b.Held) > 0 {
		inv.table(t)
	}
	if b.More > 0 {
		inv.printf("and %d more; leeward status lists all that a server holds back\n", b.More)
	}
	if len(b.Strange) > 0 {
		inv.printf("etcd has another history than the one that these servers followed: %s\n",
			strings.Join(b.Strange, ", "))
	}
}

// touch accepts what servers that read a folder hold back: they look at the time of a file in it.
func (inv *invocation) touch(dir string) error {
	if s, err := os.Stat(dir); err != nil || !s.IsDir() {
		return fmt.Errorf("--files %s: there is no such folder", dir)
	}
	path := filepath.Join(dir, folder.AcceptFile)
	err := os.WriteFile(path, []byte(inv.who()+"\n"), 0o644)
	if err == nil {
		now := inv.now()
		err = os.Chtimes(path, now, now)
	}
	if err != nil {
		return fmt.Errorf("%w; if the folder is read-only, send the servers SIGHUP", err)
	}
	inv.printf("Accepted for servers that read %s.\n", dir)
	return nil
}
