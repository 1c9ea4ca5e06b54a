package resolve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"sync"
	"time"

	"leeward/zones/disk"
)

// ParseServer reads a resolver's address. The default port is 53.
func ParseServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not the address of a resolver; "+
			"write one such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53", s)
	}
	return a, nil
}

// config lists the resolvers.
type config struct {
	servers []netip.AddrPort // as given; none: those in the file
	file    string
	now     func() time.Time

	mu   sync.Mutex
	read time.Time
	last []netip.AddrPort
}

// mostServers is how many resolvers of a file are used, as resolv.conf(5) says.
const mostServers = 3

// list returns the resolvers. It reads the file again if that was last done MinInterval ago or longer.
func (c *config) list() ([]netip.AddrPort, error) {
	if len(c.servers) > 0 {
		return c.servers, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.last == nil || now.Sub(c.read) >= MinInterval {
		last, err := readConfig(c.file)
		switch {
		case err == nil:
			c.last, c.read = last, now
		case c.last == nil:
			return nil, err
		}
	}
	return c.last, nil
}

// mostConfig is the largest resolv.conf that is read, in octets.
const mostConfig = 1 << 20

// readConfig reads the nameserver lines of a resolv.conf. Without any, or without the file, this machine is the
// resolver.
func readConfig(file string) ([]netip.AddrPort, error) {
	here := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	text, err := disk.Read(file, mostConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return here, nil
	}
	if err != nil {
		return nil, err
	}
	var servers []netip.AddrPort
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() && len(servers) < mostServers {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(servers) == 0 {
		return here, nil
	}
	return servers, nil
}
