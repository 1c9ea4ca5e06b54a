//go:build linux

// Package scenario takes things away from Leeward, and checks what must hold meanwhile.
//
//	text ─→ story: settings, blocks, steps          (story_test.go, commands_test.go)
//	          │ play                                (scenario_test.go; chaos_test.go draws faults by lot)
//	        World ←── faults: processes, links, endpoints, disks, what is in etcd
//	          │
//	        tracks: every answer to every query, all the time
//	          │
//	        judge ←── promises: what each was to be, and from when on; truth, where faults are drawn
//
// README.md has the language, with all its lines.
package scenario

import (
	"testing"

	"leeward/integration/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
