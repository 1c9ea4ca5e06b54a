package console

import (
	"testing"
	"time"

	"leeward/server/admin"
)

// How long signatures hold: quiet while all is well, loud if a zone needs attention.
func TestTrustSignatures(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	zone := func(name, state string, left time.Duration) admin.SignedZone {
		at := now.Add(left)
		return admin.SignedZone{Zone: name, Signer: admin.SignerLeeward, State: state, Expires: &at}
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		zones []admin.SignedZone
		kept  string
		well  bool
		want  string
	}{
		{
			[]admin.SignedZone{zone("a.test", "current", 13*day), zone("b.test", "prepared", 12*day)},
			"", true,
			"hold for 12d (b.test)",
		},
		{
			[]admin.SignedZone{zone("a.test", "current", 13*day), zone("b.test", "near", 3*day)},
			"", false,
			"hold for 3d (b.test); 1 of 2 signed zones are not as they should be",
		},
		{
			[]admin.SignedZone{zone("a.test", "expired", -day)},
			"", false,
			"of a.test have expired; 1 of 1 signed zones are not as they should be",
		},
		{
			[]admin.SignedZone{zone("a.test", "current", 13*day)},
			"disk full", false,
			"hold for 13d (a.test); they cannot be kept on disk",
		},
		{[]admin.SignedZone{{Zone: "a.test", Signer: admin.SignerPrimary, State: "current"}}, "", true, "never expire"},
	} {
		s := &admin.Status{Time: now, Signing: &admin.Signing{KeptError: c.kept}}
		for _, z := range c.zones {
			s.Signing.Add(z)
		}
		s.Signing.Order()
		all := trusts(s)
		if got := all[len(all)-1]; got.What != "Signatures" || got.Text != c.want || got.Well != c.well {
			t.Errorf("%+v, want %q", got, c.want)
		}
	}
	for _, line := range trusts(&admin.Status{Time: now}) {
		if line.What == "Signatures" {
			t.Error("it speaks of signatures where no zone is signed")
		}
	}
}

// The row of a signed zone says whether its parent is right.
func TestSignedRow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	expires := now.Add(13 * 24 * time.Hour)
	z := &admin.SignedZone{
		Zone: "a.test", Signer: admin.SignerLeeward, State: admin.SignedCurrent, Expires: &expires,
		Keys: []admin.SignedKey{{Tag: 7, State: "signs all"}},
	}
	want := signedRow{State: "up", Words: "hold for 13d", Keys: "7 signs all"}
	if got := signed(z, now); *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, one := range []struct {
		parent admin.Parent
		want   string
	}{
		{admin.Parent{State: admin.ParentWaits}, "waiting"},
		{admin.Parent{State: admin.ParentFits, Endpoint: "cds.test:53"}, "DS fits"},
		{
			admin.Parent{State: admin.ParentTold, Since: now.Add(-time.Hour), Endpoint: "cds.test:53", Validated: true},
			"told 60m ago at cds.test:53",
		},
		{admin.Parent{State: admin.ParentMute, Error: "no port"}, "no endpoint: no port"},
		{
			admin.Parent{State: admin.ParentFailed, Endpoint: "cds.test:53", Error: "no answer"},
			"not told at cds.test:53 (not validated): no answer",
		},
	} {
		z.Parent, want.Parent = &one.parent, one.want
		if got := signed(z, now); *got != want {
			t.Errorf("%+v: %+v, want %+v", one.parent, got, want)
		}
	}
}
