//go:build linux

package lab

import (
	"net/netip"
	"time"
)

// StatusPage is what these tests read of /api/v1/status.
type StatusPage struct {
	Servers []struct {
		ID       string
		Revision int64
		Problems int
		Held     int
		Fresh    bool
		Source   struct {
			Kind, State, Error string
		}
	}
	Vantages []struct {
		ID           string
		Fresh, Blind bool
	}
	Pools []struct {
		Pool           string
		Override       string
		Healthy, Total int
	}
	Endpoints []struct {
		Endpoint, Region string
		Override         string
		Addresses        []struct {
			Address netip.Addr
			Verdict string
			Since   *time.Time
			Why     string
			Votes   []struct {
				Vantage, State string
				Fresh          bool
				Held           *time.Time
			}
		}
	}
	Problems []struct {
		Resource, File, Field, Message string
		Line                           int
		Revision                       int64
	}
	Held []struct {
		Resource, Why string
		Revision      int64
	}
}
