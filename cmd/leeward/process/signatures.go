package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"leeward/zones/etcd"
)

// Signatures that a signer has made are stored in etcd outside the prefix. So nobody gets them who does not ask for
// them:
//
//	/leeward.signatures/<zone>/keys             the public parts of the zone's keys, see dnssec.Keys.HandOut
//	                          /<epoch>/<n>      a chunk of signatures, see dnssec.AppendChunk
//
// A signer adds chunks to an epoch, and enlarges the last chunk while it is small. Both signers and servers without
// keys follow all of these.

// slot says what a key in etcd holds, and of which zone. epoch and chunk are those of a chunk; for the zone's keys,
// they are 0 and "".
type slot struct {
	origin string
	epoch  int64
	chunk  string
}

func (s slot) name() string {
	if s.chunk == "" {
		return etcd.Signatures + s.origin + "/keys"
	}
	return epochFolder(s.origin, s.epoch) + s.chunk
}

func epochFolder(origin string, epoch int64) string {
	return fmt.Sprintf("%s%s/%d/", etcd.Signatures, origin, epoch)
}

// slotOf returns what a key holds, given its name. A zone's name may have slashes.
func slotOf(name string) (s slot, ok bool) {
	rest, ok := strings.CutPrefix(name, etcd.Signatures)
	if !ok {
		return s, false
	}
	at := strings.LastIndexByte(rest, '/')
	if at < 1 {
		return s, false
	}
	if rest[at+1:] == "keys" {
		return slot{origin: rest[:at]}, true
	}
	s.chunk, rest = rest[at+1:], rest[:at]
	if at = strings.LastIndexByte(rest, '/'); at < 1 || s.chunk == "" {
		return s, false
	}
	var err error
	s.origin = rest[:at]
	s.epoch, err = strconv.ParseInt(rest[at+1:], 10, 64)
	return s, err == nil
}

// signatureWatch is told what etcd has. One goroutine calls all its functions.
type signatureWatch struct {
	put  func(s slot, value []byte, revision int64)
	drop func(s slot)
	// all is called after each reading of everything, when all of it has been put. there has all slots that exist.
	all func(there map[slot]bool)
	// told is called after the other functions, when no more news is waiting.
	told func()
}

// followSignatures follows all signatures until the context ends. While etcd is away, it keeps trying.
func followSignatures(ctx context.Context, c *etcd.Cluster, log *slog.Logger, w signatureWatch) {
	turns := c.Turns()
	failing := ""
	for ctx.Err() == nil {
		err := w.session(ctx, c, turns.Member(), func() {
			if turns.Worked(); failing != "" {
				failing = ""
				log.Info("signatures in etcd are followed again")
			}
		})
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, etcd.ErrCompacted) && failing == "" {
			failing = err.Error()
			log.Warn("signatures in etcd cannot be followed: trying on", "err",
				c.Due(err, "reads", etcd.Signatures))
		}
		if !turns.Next(ctx) {
			return
		}
	}
}

func (w *signatureWatch) session(ctx context.Context, c *etcd.Cluster, member int, worked func()) error {
	conn, err := c.Connect(ctx, member, c.Options.Silence/2)
	if err != nil {
		return err
	}
	defer conn.Close()
	there := map[slot]bool{}
	folder := etcd.Folder(etcd.Signatures)
	at, err := conn.Read(etcd.Led(ctx), 0, []etcd.Range{folder}, func(kv etcd.KV) {
		if s, ok := slotOf(kv.Name); ok {
			there[s] = true
			w.put(s, kv.Value, kv.Revision)
		}
	})
	if err != nil {
		return err
	}
	w.all(there)
	w.told()
	worked()
	return conn.Watch(ctx, etcd.Watch{Range: folder, After: at, Ahead: at.Revision, Told: func(n etcd.News) error {
		for _, e := range n.Events {
			s, ok := slotOf(e.Name)
			switch {
			case !ok:
			case e.Deleted:
				w.drop(s)
			default:
				w.put(s, e.Value, e.Revision)
			}
		}
		if len(n.Events) > 0 {
			w.told()
		}
		return nil
	}})
}
