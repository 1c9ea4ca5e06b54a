package wire

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The reference vectors: key 00 to 0f, message 00, 01, 02 and so on.
func TestSipHash(t *testing.T) {
	var key [16]byte
	var message [64]byte
	for i := range key {
		key[i] = byte(i)
	}
	for i := range message {
		message[i] = byte(i)
	}
	for size, want := range map[int]string{
		0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593",
		15: "e545be4961ca29a1",
		63: "724506eb4c328a95",
	} {
		var got [8]byte
		binary.LittleEndian.PutUint64(got[:], siphash(&key, message[:size]))
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("%d octets: %x, want %s", size, got, want)
		}
	}
}

// RFC 9018 appendix A.
func TestCookieVectors(t *testing.T) {
	for _, v := range []struct {
		name, client, address, secret string
		made, checked                 uint32
		server                        string
	}{
		{
			"A.1 learning a new server cookie", "2464c4abcf10c957", "198.51.100.100",
			"e5e973e5a6b2a43f48e7dc849e37bfcf",
			1559731985, 1559731985, "010000005cf79f111f8130c3eee29480",
		},
		{
			"A.2 renewed", "2464c4abcf10c957", "198.51.100.100", "e5e973e5a6b2a43f48e7dc849e37bfcf", 1559734385,
			1559734385, "010000005cf7a871d4a564a1442aca77",
		},
		{
			"A.3 another client", "fc93fc62807ddb86", "203.0.113.203", "e5e973e5a6b2a43f48e7dc849e37bfcf", 1559734700,
			1559734700, "010000005cf7a9acf73a7810aca2381e",
		},
		{
			"A.4 IPv6, a new secret", "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8",
			"445536bcd2513298075a5d379663c962", 1559741961, 1559741961, "010000005cf7c609a6bb79d16625507a",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			secret := CookieSecret(unhex(t, v.secret))
			address := netip.MustParseAddr(v.address)
			var got [CookieSize]byte
			secret.MakeCookie(&got, unhex(t, v.client), address, v.made)
			if hex.EncodeToString(got[:]) != v.client+v.server {
				t.Errorf("made %x, want %s%s", got, v.client, v.server)
			}
			if valid, fresh := secret.CheckCookie(got[:], address, v.checked); !valid || !fresh {
				t.Error("not accepted")
			}
		})
	}
	// A.3: another server has set the RESERVED field. It is not zero, and it is checked as it came.
	secret := CookieSecret(unhex(t, "e5e973e5a6b2a43f48e7dc849e37bfcf"))
	cookie := unhex(t, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5")
	if valid, _ := secret.CheckCookie(cookie, netip.MustParseAddr("203.0.113.203"), 1559727985); !valid {
		t.Error("A.3: a cookie with reserved bits is not accepted")
	}
	// A.4: made with the previous secret.
	secret = CookieSecret(unhex(t, "dd3bdf9344b678b185a6f5cb60fca715"))
	cookie = unhex(t, "22681ab97d52c298010000005cf7c57926556bd0934c72f8")
	if valid, _ := secret.CheckCookie(cookie, netip.MustParseAddr("2001:db8:220:1:59de:d0f4:8769:82b8"),
		1559741961); !valid {
		t.Error("A.4: a cookie made with the previous secret is not accepted")
	}
}

func TestCookieIsRefused(t *testing.T) {
	secret := CookieSecret(unhex(t, "e5e973e5a6b2a43f48e7dc849e37bfcf"))
	address := netip.MustParseAddr("192.0.2.1")
	const made = 1_700_000_000
	var good [CookieSize]byte
	secret.MakeCookie(&good, []byte("12345678"), address, made)
	for _, c := range []struct {
		at           uint32
		valid, fresh bool
	}{
		{made, true, true},
		{made + 1800, true, true},
		{made + 1801, true, false},
		{made + 3600, true, false},
		{made + 3601, false, false},
		{made - 300, true, false},
		{made - 301, false, false},
	} {
		if valid, fresh := secret.CheckCookie(good[:], address, c.at); valid != c.valid || fresh != c.fresh {
			t.Errorf("%d s after it was made: %v %v", int32(c.at-made), valid, fresh)
		}
	}
	for i := range good {
		bad := good
		bad[i] ^= 0x10
		if valid, _ := secret.CheckCookie(bad[:], address, made); valid {
			t.Errorf("octet %d can be changed", i)
		}
	}
	for _, size := range []int{0, 8, 16, 23} {
		if valid, _ := secret.CheckCookie(good[:size], address, made); valid {
			t.Errorf("%d octets are enough", size)
		}
	}
	if valid, _ := secret.CheckCookie(append(good[:], 0), address, made); valid {
		t.Error("25 octets are accepted")
	}
	if valid, _ := secret.CheckCookie(good[:], netip.MustParseAddr("192.0.2.2"), made); valid {
		t.Error("another address may use it")
	}
	other := secret
	other[0]++
	if valid, _ := other.CheckCookie(good[:], address, made); valid {
		t.Error("another secret accepts it")
	}
}

func BenchmarkCookie(b *testing.B) {
	secret := CookieSecret(unhex(b, "e5e973e5a6b2a43f48e7dc849e37bfcf"))
	address := netip.MustParseAddr("2001:db8::1")
	var cookie [CookieSize]byte
	b.ReportAllocs()
	for b.Loop() {
		secret.MakeCookie(&cookie, []byte("12345678"), address, 1)
	}
}
