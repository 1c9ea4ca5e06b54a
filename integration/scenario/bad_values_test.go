//go:build linux

package scenario

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"leeward/integration/lab"
	"leeward/integration/script"
)

func (x *scenario) putBadValues(a script.Args) error { return x.gateway().Fill(a.Int(0), badValue) }

// putLongValue puts a policy whose document is that long.
func (x *scenario) putLongValue(a script.Args) error {
	more := strings.Repeat(`,"www-eu"`, a.Int(0)/9)
	return x.gateway().Put(a.Text(1), `{"ttl":"12s","rules":[{"failover":["www-eu"`+more+`]}]}`)
}

// gateway puts many values, through the first region's member.
func (x *scenario) gateway() *lab.Gateway {
	r := x.w.Regions[0]
	return &lab.Gateway{URL: r.Etcd.Client, HTTP: http.Client{Transport: &http.Transport{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return r.Host.Dial(net.Dialer{}, network, address)
		},
	}}}
}

// badValue is the i-th of many bad values. Each is bad in another way than the one before.
func badValue(i int) (key, value string) {
	switch i % 8 {
	case 0:
		return fmt.Sprintf("endpoints/www-eu/bad-%d", i), `{"addresses": ["192.0.2.1"`
	case 1:
		return fmt.Sprintf("endpoints/www-us/bad-%d", i), `{"addresses": ["the second rack"]}`
	case 2:
		return fmt.Sprintf("records/example.test/bad-%d/A", i), `{"data": ["192.0.2.256"]}`
	case 3:
		return fmt.Sprintf("pools/bad-%d", i), `{"region": "eu", "monitor": "web", "colour": "green"}`
	case 4:
		return fmt.Sprintf("policies/bad-%d.example.test",
			i), `{"ttl": "5s", "rules": [{"failover": ["no-such-pool"]}]}`
	case 5:
		return fmt.Sprintf("monitors/bad-%d", i), `{"http": {"port": 80}, "interval": "1ns"}`
	case 6:
		return fmt.Sprintf("records/example.test/www/bad-%d", i), `{"data": ["x"]}`
	}
	return fmt.Sprintf("alien/%d", i), "\x00\xff\x1f\x8b not a document at all"
}
