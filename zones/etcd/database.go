package etcd

import (
	"context"
	"strings"
)

// Database is the size of etcd's database.
type Database struct {
	Bytes int64  // of the largest member's file, which never shrinks by itself; compaction frees space in it
	InUse int64  // the part of Bytes that is in use
	Quota int64  // where etcd refuses writes; DefaultQuota if etcd does not tell (before 3.6)
	Alarm string // what a member has raised an alarm for, such as "NOSPACE"; empty: nothing
}

// DefaultQuota is etcd's default, in octets.
const DefaultQuota = 2 << 30

// Fill returns the part of the quota that is taken; 1 is all of it.
func (d *Database) Fill() float64 { return float64(d.Bytes) / float64(d.Quota) }

// Database asks the members one after the other. It fails if none answers.
func (c *Cluster) Database(ctx context.Context) (*Database, error) {
	var d Database
	var err error
	answered := false
	for _, endpoint := range c.Endpoints {
		one, cancel := context.WithTimeout(ctx, c.Options.Timeout/4)
		s, why := c.Client.Status(one, endpoint)
		cancel()
		if why != nil {
			err = why
			continue
		}
		answered = true
		if s.DbSize > d.Bytes {
			d.Bytes, d.InUse = s.DbSize, s.DbSizeInUse
		}
		d.Quota = max(d.Quota, s.DbSizeQuota)
		for _, text := range s.Errors {
			if strings.Contains(text, "alarm:") { // and not the error of a member without a leader
				d.Alarm = text
			}
		}
	}
	if !answered {
		return nil, c.Explain(ctx, err)
	}
	if d.Quota == 0 {
		d.Quota = DefaultQuota
	}
	return &d, nil
}
