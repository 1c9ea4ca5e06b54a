package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"leeward/zones"
	"leeward/zones/disk"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Transferred zones are kept in files, one for each zone, in a folder of their own below --state.
const (
	keptFolder = "secondary"
	keptFormat = 2
	keptBare   = 1 // without what a primary's signing makes: the zone is to be transferred whole again
)

// kept is the first line of a file, as JSON.
type kept struct {
	Format int    `json:"format"`
	Origin string `json:"origin"`
	Serial uint32 `json:"serial"` // the primary's
	Sets   int    `json:"sets"`
	Again  string `json:"again,omitempty"`  // Assignment.Again at the last transfer of the whole zone
	Source string `json:"source,omitempty"` // address and port of the primary that had it last; "": not known
}

// keptFile returns the path of a zone's file.
func keptFile(state, origin string) string {
	name := url.PathEscape(origin)
	if len(name) > 200 { // a file's name may have 255 octets
		sum := sha256.Sum256([]byte(origin))
		name = hex.EncodeToString(sum[:])
	}
	return filepath.Join(state, keptFolder, name+".zone.gz")
}

// save writes a zone's version to the disk. Only the zone's goroutine calls it.
func (s *Secondary) save(z *elsewhere) {
	s.mu.Lock()
	version, good, also := z.version, z.good, kept{Again: z.did, Source: z.sourceText()}
	s.mu.Unlock()
	z.unsaved, z.saved = false, s.o.Now()
	if s.o.State == "" || version == nil {
		return
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	err := saveVersion(s.o.State, version, good, also)
	unkept := ""
	if err != nil {
		unkept = err.Error()
		z.unsaved = true // try again: the disk may have room later, even if the zone does not change
	}
	if err != nil && unkept != z.unkept {
		s.o.Log.Error("a transferred zone could not be written to disk", "zone", z.name, "err", err)
	} else if err == nil && z.unkept != "" {
		s.o.Log.Info("a transferred zone is written to disk again", "zone", z.name)
	}
	z.unkept = unkept
}

// saveVersion writes a version to a new file, syncs it and renames it over the old one, so there is a whole file at any
// moment.
//
// The file is compressed with gzip. It has a line of JSON (kept), then each RRset: a length octet and the owner, TYPE,
// number of records, number of octets, and the records in wire form as in a snapshot.Set. A SHA-256 of all that is at
// the end. The file's modification time is when the primary last confirmed the version. also has the fields of kept
// that are not part of the version.
func saveVersion(state string, v *snapshot.Version, checked time.Time, also kept) error {
	file := keptFile(state, zones.NameText(v.Origin()))
	return disk.Write(file, 0o600, func(f *os.File) error {
		if err := writeVersion(f, v, also); err != nil {
			return err
		}
		return os.Chtimes(f.Name(), checked, checked)
	})
}

func writeVersion(w io.Writer, v *snapshot.Version, head kept) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(z, sum), 1<<16)
	head.Format, head.Origin, head.Serial, head.Sets = keptFormat, zones.NameText(v.Origin()), v.Serial(), v.Sets()
	line, err := json.Marshal(head)
	if err != nil {
		return err
	}
	b.Write(append(line, '\n'))
	var scratch [8]byte
	v.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		b.WriteByte(byte(len(name)))
		b.Write(name)
		binary.BigEndian.PutUint16(scratch[:], uint16(typ))
		binary.BigEndian.PutUint16(scratch[2:], uint16(count))
		binary.BigEndian.PutUint32(scratch[4:], uint32(len(wire)))
		b.Write(scratch[:])
		_, err := b.Write(wire)
		return err == nil
	})
	if err := b.Flush(); err != nil {
		return err
	}
	if _, err := z.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return z.Close()
}

// loadVersion reads a zone's file. checked is when a primary last confirmed the version. The error wraps fs.ErrNotExist
// if there is no file; after any other error the file cannot be trusted.
func loadVersion(state string, origin rr.Name) (v *snapshot.Version, checked time.Time, head kept, err error) {
	f, err := disk.Open(keptFile(state, zones.NameText(origin)))
	if err != nil {
		return nil, time.Time{}, kept{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, kept{}, err
	}
	v, head, err = readVersion(f, origin)
	if err != nil {
		return nil, time.Time{}, kept{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return v, info.ModTime(), head, nil
}

func readVersion(r io.Reader, origin rr.Name) (v *snapshot.Version, head kept, err error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<16))
	if err != nil {
		return nil, kept{}, err
	}
	sum := sha256.New()
	all := bufio.NewReaderSize(z, 1<<16)
	read := func(b []byte) error {
		_, err := io.ReadFull(all, b)
		sum.Write(b)
		return err
	}
	line, err := all.ReadSlice('\n')
	if err != nil {
		return nil, kept{}, err
	}
	sum.Write(line)
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, kept{}, err
	}
	switch {
	case head.Format != keptFormat && head.Format != keptBare:
		return nil, kept{}, fmt.Errorf("it has format %d, and this Leeward reads format %d", head.Format, keptFormat)
	case head.Origin != zones.NameText(origin):
		return nil, kept{}, fmt.Errorf("it is of zone %s", head.Origin)
	}
	e := snapshot.NewEdition(origin)
	var buf [255 + 8]byte
	for range head.Sets {
		if err := readSet(e, read, buf[:]); err != nil {
			return nil, kept{}, err
		}
	}
	want := sum.Sum(nil)
	var got [sha256.Size]byte
	if _, err := io.ReadFull(all, got[:]); err != nil {
		return nil, kept{}, err
	}
	if !bytes.Equal(got[:], want) {
		return nil, kept{}, errors.New("its checksum does not match its content")
	}
	v, err = e.Finish()
	if err == nil && v.Serial() != head.Serial {
		err = errors.New("its serial is not that of its SOA")
	}
	return v, head, err
}

// readSet reads one RRset.
func readSet(e *snapshot.Edition, read func([]byte) error, buf []byte) error {
	if err := read(buf[:1]); err != nil {
		return err
	}
	length := int(buf[0])
	if err := read(buf[:length+8]); err != nil {
		return err
	}
	owner, rest, err := rr.CutName(buf[:length])
	if err != nil || len(rest) > 0 {
		return errors.New("it has an invalid name")
	}
	head := buf[length : length+8]
	size := binary.BigEndian.Uint32(head[4:])
	if size > 1<<16 {
		return errors.New("it has an RRset that is longer than a message")
	}
	wire := make([]byte, size)
	if err := read(wire); err != nil {
		return err
	}
	for range binary.BigEndian.Uint16(head[2:]) {
		if len(wire) < recordHead || len(wire) < recordHead+int(binary.BigEndian.Uint16(wire[recordHead-2:])) {
			return errors.New("it has a truncated record")
		}
		end := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
		x := rr.Record{
			Owner: owner, Type: rr.Type(binary.BigEndian.Uint16(wire[2:])), Class: binary.BigEndian.Uint16(wire[4:]),
			TTL: binary.BigEndian.Uint32(wire[6:]), Data: wire[recordHead:end:end],
		}
		put := e.Add
		if x.Type == rr.TypeSOA {
			put = e.SetSOA
		}
		if err := put(x); err != nil {
			return err
		}
		wire = wire[end:]
	}
	return nil
}

// touchVersion notes in the file's modification time that a primary has confirmed the version.
func touchVersion(state, origin string, checked time.Time) {
	if state != "" {
		_ = os.Chtimes(keptFile(state, origin), checked, checked)
	}
}

// forget removes a zone's file.
func (s *Secondary) forget(origin string) {
	if s.o.State == "" {
		return
	}
	if err := os.Remove(keptFile(s.o.State, origin)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.o.Log.Warn("the file of a removed zone could not be deleted", "zone", origin, "err", err)
	}
}

// resume loads the version that an earlier run has kept.
func (s *Secondary) resume(z *elsewhere) {
	if s.o.State == "" {
		return
	}
	version, checked, head, err := loadVersion(s.o.State, z.origin)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		s.o.Log.Warn("the file of a transferred zone cannot be used; the zone is transferred again",
			"zone", z.name, "err", err)
		return
	}
	now := s.o.Now()
	if checked.After(now) { // the clock was ahead when the file was written
		checked = now
	}
	s.mu.Lock()
	z.version, z.checked, z.good, z.since, z.tried, z.did = version, checked, checked, checked, true, head.Again
	z.source, _ = netip.ParseAddrPort(head.Source)
	z.bare = head.Format == keptBare
	z.until.Store(z.expires().Unix())
	z.expired = !now.Before(z.expires())
	t := snapshot.Transferred{Version: z.version, Expired: z.expired, Until: z.until}
	s.mu.Unlock()
	s.o.Log.Info("serving a zone as an earlier run transferred it", "zone", z.name, "serial", version.Serial(),
		"age", now.Sub(checked).Round(time.Second), "expired", t.Expired)
	s.o.OnTransfer(z.name, t)
}
