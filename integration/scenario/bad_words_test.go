//go:build linux

package scenario

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"leeward/integration/lab"
)

// badWords are about values in etcd that are not right. They come before those of etcdWords, of which one would match
// too.
func badWords() []word {
	return []word{
		{pattern: "put N bad values", means: "below the prefix: text that is no JSON, unknown fields, addresses that are none, references to nothing, keys of no kind, by turns", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			if err != nil {
				return err
			}
			return x.gateway().Fill(n, badValue)
		}},
		{pattern: "put a value of N bytes at KEY", means: "a policy whose document is that long", do: func(x *scenario, a []string) error {
			n, err := strconv.Atoi(a[0])
			if err != nil {
				return err
			}
			return x.gateway().Put(a[1], `{"ttl":"12s","rules":[{"failover":["www-eu"`+strings.Repeat(`,"www-eu"`, n/9)+`]}]}`)
		}},
	}
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

// badValue is the i-th of many values that are not right, each in another way than the one before.
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
		return fmt.Sprintf("policies/bad-%d.example.test", i), `{"ttl": "5s", "rules": [{"failover": ["no-such-pool"]}]}`
	case 5:
		return fmt.Sprintf("monitors/bad-%d", i), `{"http": {"port": 80}, "interval": "1ns"}`
	case 6:
		return fmt.Sprintf("records/example.test/www/bad-%d", i), `{"data": ["x"]}`
	}
	return fmt.Sprintf("alien/%d", i), "\x00\xff\x1f\x8b not a document at all"
}
