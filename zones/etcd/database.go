package etcd

import (
	"context"
	"strings"
)

// Database is how large etcd's is.
type Database struct {
	Bytes int64  // of the largest member's file; what is compacted is used again, and the file does not shrink
	InUse int64  // of these
	Quota int64  // at which etcd takes no more writes; DefaultQuota where it does not say (before 3.6)
	Alarm string // what a member has raised an alarm for, such as "NOSPACE"; empty: nothing
}

// DefaultQuota is etcd's own, in octets.
const DefaultQuota = 2 << 30

// Fill returns how much of the quota is taken, 1 being all.
func (d *Database) Fill() float64 { return float64(d.Bytes) / float64(d.Quota) }

// Database asks all members how large the database is, one after the other. It fails if none answers.
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
			if strings.Contains(text, "alarm:") { // not one of a member that has no leader
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
