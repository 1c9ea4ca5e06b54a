//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestSignedOnAFullDisk: the disk of --state has 1 MiB, which is too little for the signatures alone. The zone is still
// answered with signatures, and the server says that it cannot keep them until there is room.
func TestSignedOnAFullDisk(t *testing.T) {
	lab.NeedRoot(t)
	dir, state, keys := t.TempDir(), t.TempDir(), t.TempDir()
	lab.Must(t, nil, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", state)
	t.Cleanup(func() { lab.Must(t, nil, "umount", "-l", state) })
	var zone strings.Builder
	zone.WriteString("@ SOA ns1 hostmaster 1 3600 900 1209600 30\n@ NS ns1\nns1 A 192.0.2.53\n")
	for i := range 10_000 { // two signatures each, of 80 octets
		fmt.Fprintf(&zone, "h%d A 10.0.%d.%d\n", i, i>>8, i&255)
	}
	lab.Write(t, filepath.Join(dir, "example.test.zone"), zone.String())
	lab.Write(t, filepath.Join(dir, "zone.yaml"), "kind: Zone\nname: example.test\ndnssec: {enabled: true}\n")
	s := lab.Serve(t, "full", "--files", dir, "--keys", keys, "--state", state)
	lab.Until(t, time.Minute, "the zone is answered signed", func() error { return isSigned(s.DNS, "example.test.") })
	v := &validator{keys: keysOf(t, keys), now: time.Now()}
	failing := func(want float64) {
		t.Helper()
		lab.Until(t, 3*time.Minute, fmt.Sprintf("leeward_dnssec_kept_failing is %v", want), func() error {
			if got := s.Metric(t, "leeward_dnssec_kept_failing", ""); got != want {
				return fmt.Errorf("it is %v", got)
			}
			return nil
		})
		askSigned(t, s.DNS, v, []string{"h77.example.test.", "example.test.", "no.example.test."},
			[]uint16{dns.TypeA, dns.TypeTXT, dns.TypeDNSKEY}, nil)
	}
	failing(1)
	lab.Must(t, nil, "mount", "-o", "remount,size=64m", state)
	s.Process.Terminate(t)
	s.Start(t)
	s.Ready(t)
	lab.Until(t, time.Minute, "the zone is answered signed", func() error { return isSigned(s.DNS, "example.test.") })
	lab.Until(t, 3*time.Minute, "signatures are kept, as there is room", func() error {
		files, err := filepath.Glob(filepath.Join(state, "signatures", "*"))
		if err == nil && len(files) == 0 {
			err = errors.New("nothing is kept")
		}
		return err
	})
	failing(0)
}
