package process

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unicode"
)

// Whatever clients of the admin interface do with any number of connections, the limit of open connections holds, and a
// client that sends a request gets an answer.
func TestCrowd(t *testing.T) {
	const most = 8
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, most)
	hang := make(chan struct{})
	s := &http.Server{
		ConnContext: c.known,
		Handler: c.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/hangs":
				<-hang
			case "/large":
				for range 1000 {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return
					}
				}
			}
			fmt.Fprint(w, "ok")
		})),
	}
	go s.Serve(c)
	defer s.Close()
	defer close(hang)
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
		conn, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for name, first := range map[string]string{
		"silent": "", "slow": "GET / HTTP/1.1\r\nHost: a\r\nX-", "kept alive": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"hanging": "GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n", "deaf": "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for n := range 5 * most {
				conn := dial(fmt.Sprintf("127.0.0.%d", 2+n%3))
				defer conn.Close()
				if _, err := io.WriteString(conn, first); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
					DisableKeepAlives: true,
					DialContext: func(context.Context, string, string) (net.Conn, error) {
						return dial("127.0.0.9"), nil
					},
				}}
				r, err := client.Get("http://" + l.Addr().String())
				if err != nil {
					t.Fatalf("others are %s: %v", name, err)
				}
				b, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if string(b) != "ok" {
					t.Errorf("others are %s: %s", name, b)
				}
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.open) > most {
				t.Errorf("%d are open", len(c.open))
			}
			total := 0
			for _, n := range c.of {
				total += n
			}
			if total != len(c.open) {
				t.Errorf("%d are counted by client, of %d", total, len(c.open))
			}
		})
	}
}

// Which client makes room: connections of clients are written as letters, in lower case if they have no whole request,
// the oldest first. The last one is new.
func TestWhoMakesRoom(t *testing.T) {
	for _, c := range []struct {
		most                     int
		open, comes, stays, what string
	}{
		{8, "AAAAAAAA", "b", "AAAAAAAb", "one that has many makes room"},
		{8, "AAAAAAAb", "a", "AAAAAAAb", "one that has just come is not closed for one that has many"},
		{8, "bcdeaaaa", "f", "bcdeaaaf", "nor are others"},
		{8, "abcdefgH", "i", "bcdefgHi", "one that waits, before one that is answered"},
		{8, "abcdefHH", "i", "bcdefHHi", "also of a client that has two"},
		{8, "ABCDEFGH", "i", "ABCDEFGH", "where all are answered, and none has more, who comes has to wait"},
		{8, "AABCDEFG", "h", "ABCDEFGh", "one of a client that has more than who comes would have"},
		{24, "abcdefghijlmnopqrsKKKKKK", "t", "bcdefghijlmnopqrsKKKKKKt", "a browser's six are no more than its share"},
	} {
		crowd := newCrowd(nil, c.most)
		begun := time.Now()
		name := map[*guest]rune{}
		admit := func(r rune, age int) {
			there, _ := net.Pipe()
			g := &guest{Conn: there, crowd: crowd, since: begun.Add(time.Duration(age)), busy: unicode.IsUpper(r)}
			g.from = netip.AddrFrom4([4]byte{192, 0, 2, byte(unicode.ToLower(r))})
			if crowd.admit(g) {
				name[g] = r
			}
		}
		for age, r := range c.open + c.comes {
			admit(r, age)
		}
		left := slices.SortedFunc(maps.Keys(crowd.open), func(a, b *guest) int { return a.since.Compare(b.since) })
		got := ""
		for _, g := range left {
			got += string(name[g])
		}
		if got != c.stays {
			t.Errorf("%s: of %q and %q stay %q, not %q", c.what, c.open, c.comes, got, c.stays)
		}
	}
}
