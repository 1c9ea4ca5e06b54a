package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/chain"
	"leeward/zones/disk"
	"leeward/zones/rr"
)

// keyWalk is key check from the root.
type keyWalk struct {
	roots  []string
	anchor string
}

func (k *keyWalk) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&k.roots, "root", nil,
		"begin at the root server at `ADDRESS`; all servers of the tree use its port; repeatable")
	cmd.Flags().StringVar(&k.anchor, "anchor", "",
		"trust this `DS` of the root, or those in the file of that name, instead of IANA's")
}

// wanted reports whether to walk: because of its flags, or because nothing says where keys are.
func (k *keyWalk) wanted(cmd *cobra.Command, f *keyFlags) bool {
	if cmd.Flags().Changed("root") || cmd.Flags().Changed("anchor") {
		return true
	}
	for _, flag := range []string{"parent", "server", "etcd", "keys", "key-secret-file"} {
		if cmd.Flags().Changed(flag) {
			return false
		}
	}
	_, err := f.at()
	return err != nil && f.folder == "" && f.secrets == ""
}

func (k *keyWalk) run(cmd *cobra.Command, inv *invocation, f *keyFlags, origin string) error {
	const why = "this is a walk from the root; leave it out, or leave out --root and --anchor"
	var vains []vain
	for _, flag := range []string{"parent", "server", "keys", "etcd", "key-secret-file", "ttl", "parent-ttl", "delay"} {
		vains = append(vains, vain{flag, true, why})
	}
	if err := inv.inVain(cmd.Flags(), vains...); err != nil {
		return err
	}
	name, err := rr.ParseName(origin)
	if err != nil {
		return misused("%s: %w", origin, err)
	}
	roots, port, err := chain.Roots(k.roots)
	if err != nil {
		return misused("--root: %w", err)
	}
	text := k.anchor
	if text != "" && !strings.Contains(text, " ") { // a DS has spaces
		raw, err := disk.Read(text, 64<<10)
		if err != nil {
			return misused("--anchor: %w", err)
		}
		text = string(raw)
		if strings.TrimSpace(text) == "" {
			return misused("--anchor: %s is empty", k.anchor)
		}
	}
	anchor, err := chain.Anchor(text)
	if err != nil {
		return misused("--anchor: %w", err)
	}
	result := chain.Walk(cmd.Context(), strings.TrimSuffix(name.String(), ".")+".", roots, port, anchor, inv.now())
	err = inv.print(f.output, struct {
		Wrong []string     `json:"wrong"`
		Chain chain.Result `json:"chain"`
	}{result.Wrong, result}, func(io.Writer, bool) error {
		inv.printf("%s", walked(result))
		return nil
	})
	if err == nil && (len(result.Wrong) > 0 || result.State != chain.Secure) {
		return exitError(1)
	}
	return err
}

// walked writes what a walk found: the servers of the last two zones one by one, and those above together.
func walked(r chain.Result) string {
	var b strings.Builder
	line := func(indent int, format string, args ...any) {
		pad := strings.Repeat(" ", indent)
		text := strings.TrimRight(wrap(fmt.Sprintf(format, args...), 78-indent), "\n")
		b.WriteString(pad + strings.ReplaceAll(text, "\n", "\n"+pad+"  ") + "\n")
	}
	servers := func(kind string, all []chain.Server) {
		for _, s := range all {
			has := strings.Trim(fmt.Sprint(s.Tags), "[]")
			if s.State == chain.Unreachable {
				has = "not known"
			} else if has == "" {
				has = "none"
			}
			line(4, "%s %s %s", s.Text(), kind, has)
			if s.Wrong != "" {
				line(6, "%s", s.Wrong)
			}
		}
	}
	for i, s := range r.Steps {
		line(0, "%s %s", s.Zone, s.State)
		if i == len(r.Steps)-1 {
			if len(s.Parent) > 0 {
				line(2, "servers of the parent, %s", r.Steps[i-1].Zone)
				servers("DS", s.Parent)
			}
			line(2, "servers of the zone")
			servers("DNSKEY", s.Own)
		}
	}
	b.WriteString("\n")
	for _, text := range r.Wrong {
		line(0, "%s", text)
	}
	if len(r.Wrong) > 0 {
		b.WriteString("\n")
	}
	line(0, "%s", says(r))
	return b.String()
}

// everywhere reports whether each server on the way has what is secure.
func everywhere(r chain.Result) bool {
	for _, s := range r.Steps {
		for _, server := range slices.Concat(s.Parent, s.Own) {
			if server.State != chain.Secure {
				return false
			}
		}
	}
	return true
}

// says is what a resolver that validates would say, and what to do next.
func says(r chain.Result) string {
	origin, at := r.Steps[len(r.Steps)-1], r.Where
	if at != "." {
		at = strings.TrimSuffix(at, ".")
	} else {
		at = "the root"
	}
	switch {
	case r.State == chain.Secure && len(r.Wrong) == 0:
		return "Secure: resolvers that validate take the zone's answers, and say so (AD). All is well."
	case r.State == chain.Secure && everywhere(r):
		return "Secure, but not to every resolver. Repair the faults above."
	case r.State == chain.Secure:
		return "Secure by some servers only: it depends on whom a resolver asks. Repair the faults above."
	case r.State == chain.Insecure:
		next := "The zone has no DNSKEY: sign it, then put its DS (`leeward key ds`) there."
		for _, s := range origin.Own {
			if len(s.Tags) > 0 {
				next = "The zone has DNSKEYs: put its DS (`leeward key ds`) into the parent."
			}
		}
		if r.Where != origin.Zone {
			next = "It can only be secure when those above it are."
		}
		return "Insecure: the chain of trust ends at " + at + ". Resolvers take answers unvalidated. " + next
	case r.State == chain.Unreachable:
		return "No answer: the walk ends at " + at + ". Resolvers say SERVFAIL or NXDOMAIN. See that its servers can " +
			"be reached from here over TCP, and that the name is right."
	}
	next := "Have its DNSKEYs signed again, or the parent's DS and signatures corrected; with Leeward, see `leeward " +
		"key list` and `leeward key ds`."
	if r.Where == "." {
		next = "See that --anchor and --root are of the same tree, and that the clock of this host is right."
	}
	return "Bogus at " + at + ": resolvers that validate answer SERVFAIL (" + r.Why + "). " + next
}
