package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"leeward/server/admin"
	"leeward/zones/disk"
	"leeward/zones/rr"
)

// parentsFile is the name of the file, in the folder of --state, that says which parents were told what.
const parentsFile = "parents.json"

// parentsShare bounds what writing costs while many parents are told: one part in parentsShare of the time.
const parentsShare = 20

// parentsFormat is the number of the file's format. Files of other formats are not read. largestParents is the size, in
// octets, of the largest one that is.
const (
	parentsFormat  = 1
	largestParents = 64 << 20
)

type keptParents struct {
	Format int          `json:"format"`
	Zones  []keptParent `json:"zones"`
}

type keptParent struct {
	Zone   string       `json:"zone"`
	Digest string       `json:"digest"`
	Parent admin.Parent `json:"parent"`
}

// keep writes which parents were told, or have the DS, if that has changed.
func (p *parents) keep() {
	began := p.elapsed()
	p.mu.Lock()
	kept := keptParents{Format: parentsFormat, Zones: []keptParent{}}
	dirty := p.dirty && p.folder != ""
	if p.dirty = false; dirty {
		for _, origin := range slices.Sorted(maps.Keys(p.zones)) {
			if s := p.zones[origin]; s.State == admin.ParentTold || s.State == admin.ParentFits {
				kept.Zones = append(kept.Zones, keptParent{rr.TrimDot(origin.String()), s.digest, s.Parent})
			}
		}
	}
	p.mu.Unlock()
	if !dirty {
		return
	}
	err := disk.Write(filepath.Join(p.folder, parentsFile), 0o600, func(f *os.File) error {
		return json.NewEncoder(f).Encode(kept)
	})
	p.writes = p.elapsed() + parentsShare*(p.elapsed()-began)
	failing := ""
	if err != nil {
		failing, p.writes = err.Error(), began+parentsLook
		p.mu.Lock()
		p.dirty = true
		p.mu.Unlock()
	}
	if failing != p.failing && failing != "" {
		p.log.Error("which parents were told of new CDS is not kept on disk: a restart would tell them again", "err",
			err)
	}
	p.failing = failing
}

// load reads what an earlier run kept.
func (p *parents) load() error {
	if p.folder == "" {
		return nil
	}
	file := filepath.Join(p.folder, parentsFile)
	b, err := disk.Read(file, largestParents)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var kept keptParents
	if err == nil {
		if err = json.Unmarshal(b, &kept); err == nil && kept.Format != parentsFormat {
			err = fmt.Errorf("it has format %d, and this Leeward reads format %d", kept.Format, parentsFormat)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, one := range kept.Zones {
		s := &parentState{asking: asking{digest: one.Digest}, Parent: one.Parent, due: parentsAgain}
		origin, err := rr.ParseName(one.Zone)
		if err != nil || s.State != admin.ParentTold && s.State != admin.ParentFits {
			continue // nobody here has written that
		}
		if s.State == admin.ParentFits {
			s.due = -1
		}
		p.zones[origin] = s
	}
	return nil
}
