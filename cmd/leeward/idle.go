package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// vain is a flag that has no effect together with others.
type vain struct {
	flag string
	when bool
	why  string
}

// onlyOnce has all verbs refuse a flag with one value that is given twice, because one of them would silently be
// ignored. Units, charts and scripts put command lines together from parts.
func onlyOnce(cmd *cobra.Command) {
	strict := func(f *pflag.Flag) {
		switch f.Value.(type) {
		case pflag.SliceValue, *single:
			return
		}
		if f.Value = (&single{Value: f.Value}); f.DefValue == "0s" {
			f.DefValue = "0" // pflag leaves it out of the help, as it does 0s of a duration
		}
	}
	cmd.Flags().VisitAll(strict)
	cmd.PersistentFlags().VisitAll(strict)
	for _, c := range cmd.Commands() {
		onlyOnce(c)
	}
}

// single is a flag's value that can be set once.
type single struct {
	pflag.Value
	given bool
}

func (s *single) Set(text string) error {
	if s.given {
		return errors.New("it is given twice; leave one out")
	}
	s.given = true
	return s.Value.Set(text)
}

// inVain refuses flags of the command line that have no effect. It allows them in the environment, which may be there
// for another verb.
func (inv *invocation) inVain(flags *pflag.FlagSet, all ...vain) error {
	for _, v := range all {
		if v.when && flags.Changed(v.flag) && !inv.fromEnv[v.flag] {
			return misused("--%s has no effect: %s", v.flag, v.why)
		}
	}
	return nil
}

// vainAdmin returns the flags that have no effect without an admin interface.
func (f *vantageFlags) vainAdmin() []vain {
	const why = "--admin is empty, so there is no admin interface; leave one of the two out"
	none := f.admin == ""
	return []vain{
		{"admin-url", none, why},
		{"admin-token", none, why},
		{"admin-token-file", none, why},
		{"admin-tls-cert", none, why},
		{"admin-tls-key", none, why},
		{"admin-client-ca", none, why},
	}
}

// vainEtcd returns the flags that have no effect without etcd (nobody), without TLS, or without a user.
func (f *etcdFlags) vainEtcd(flags *pflag.FlagSet, nobody bool) []vain {
	var all []vain
	flags.VisitAll(func(g *pflag.Flag) {
		if strings.HasPrefix(g.Name, "etcd-") || g.Name == "prefix" || g.Name == "compact" {
			all = append(all, vain{g.Name, nobody, "the resources are in --files, so no etcd is asked; leave it out"})
		}
	})
	plain := true
	for _, url := range f.endpoints {
		plain = plain && strings.HasPrefix(url, "http://")
	}
	for _, name := range []string{"etcd-ca", "etcd-cert", "etcd-key", "etcd-server-name", "etcd-insecure"} {
		all = append(all, vain{name, plain, "--etcd has no https:// URL; write one, or leave it out"})
	}
	for _, name := range []string{"etcd-password", "etcd-password-file"} {
		all = append(all, vain{name, f.user == "", "a password needs --etcd-user; give that too, or leave it out"})
	}
	return all
}
