package process

import (
	"testing"
	"time"
)

// A server that ends does not wait for ever for a part that hangs, and names it.
func TestCrewLeavesWhoHangs(t *testing.T) {
	var c crew
	hang := make(chan struct{})
	c.start("quick", func() {})
	c.start("slow", func() { <-hang })
	c.start("slow", func() {})
	for { // until only the one that hangs is left
		if left := c.ended(time.Millisecond); left == "slow" {
			break
		}
	}
	close(hang)
	if left := c.ended(time.Minute); left != "" {
		t.Errorf("left: %s", left)
	}
}
