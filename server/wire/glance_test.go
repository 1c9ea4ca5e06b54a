package wire

import (
	"bytes"
	"testing"
)

// A glance sees what is really there, in every request that can be answered.
func FuzzGlance(f *testing.F) {
	f.Add(usual())
	f.Add(plain(optRecord(1232, 0, option(optionECS, 0, 1, 24, 0, 198, 51, 100))))
	f.Add(plain(optRecord(1232, 0, option(optionECS, 0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2))))
	f.Add(plain(optRecord(1232, 0, option(optionECS, 0, 0, 0, 0))))
	f.Fuzz(func(t *testing.T, msg []byte) {
		name, qtype, subnet := Glance(msg)
		var q Query
		if q.Parse(msg) != OK {
			return
		}
		if !bytes.Equal(name, q.Question[:len(q.Question)-4]) || qtype != q.Type {
			t.Errorf("name %x type %d, parsed %x %d", name, qtype, q.Question, q.Type)
		}
		if subnet.IsValid() && subnet != q.ECS.Addr {
			t.Errorf("subnet %s, parsed %s", subnet, q.ECS.Addr)
		}
	})
}

func TestGlanceSeesTheSubnet(t *testing.T) {
	for _, c := range []struct {
		msg  []byte
		want string
	}{
		{plain(optRecord(1232, 0, option(optionECS, 0, 1, 24, 0, 198, 51, 100))), "198.51.100.0"},
		{plain(optRecord(1232, 0, option(optionECS, 0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2))), "2001:db8:1:200::"},
	} {
		if _, _, subnet := Glance(c.msg); subnet.String() != c.want {
			t.Errorf("%s, want %s", subnet, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { Glance(c.msg) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
