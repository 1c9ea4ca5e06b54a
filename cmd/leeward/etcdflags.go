package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"leeward/zones/etcd"
	"leeward/zones/store"
)

// etcdFlags say where etcd is and who asks.
type etcdFlags struct {
	endpoints    []string
	prefix       string
	ca           string
	cert, key    string
	serverName   string
	insecure     bool
	user         string
	password     string
	passwordFile string
	timeout      time.Duration
}

// add puts the flags on a verb.
func (f *etcdFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.endpoints, "etcd", []string{"http://127.0.0.1:2379"}, "members of etcd, `URL[,URL]`")
	flags.StringVar(&f.prefix, "prefix", etcd.DefaultPrefix, "the prefix of all keys in etcd")
	flags.StringVar(&f.ca, "etcd-ca", "",
		"a `FILE` of CA certificates that etcd's are checked against (default: the system's); read again for each "+
			"connection")
	flags.StringVar(&f.cert, "etcd-cert", "",
		"a `FILE` with the client certificate; read again for each connection, like its key")
	flags.StringVar(&f.key, "etcd-key", "", "a `FILE` with its private key")
	flags.StringVar(&f.serverName, "etcd-server-name", "",
		"the `NAME` in etcd's certificate, if it is not the one in the URL")
	flags.BoolVar(&f.insecure, "etcd-insecure", false, "do not verify etcd's certificate")
	flags.StringVar(&f.user, "etcd-user", "", "the `USER` to authenticate as")
	flags.StringVar(&f.password, "etcd-password", "", "the user's password; safer in LEEWARD_ETCD_PASSWORD or a file")
	flags.StringVar(&f.passwordFile, "etcd-password-file", "",
		"a `FILE` with the password; read again whenever etcd asks for it")
	flags.DurationVar(&f.timeout, "etcd-timeout", 0,
		"how long to wait for each answer (default: 1m, and 10s in servers, which try again)")
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "prefix" || strings.HasPrefix(flag.Name, "etcd-") {
			_ = flags.SetAnnotation(flag.Name, sharedFlag, []string{"etcd"}) // it is there
		}
	})
}

// options returns what store.Dial needs.
func (f *etcdFlags) options(log *slog.Logger) (etcd.Options, error) {
	o := etcd.Options{
		Endpoints: f.endpoints, Prefix: f.prefix, User: f.user, Password: f.password, Timeout: f.timeout, Log: log,
		TLS: etcd.TLSFiles{CA: f.ca, Cert: f.cert, Key: f.key, ServerName: f.serverName, Insecure: f.insecure},
	}
	if f.timeout < 0 {
		return o, misused("--etcd-timeout %v: write more than 0s", f.timeout)
	}
	if f.passwordFile != "" {
		if f.password != "" {
			return o, misused("--etcd-password and --etcd-password-file are both given; leave one out")
		}
		o.PasswordFile = f.passwordFile
	}
	return o, nil
}

// patience is how long interactive verbs wait for etcd. An etcd that needs a minute for one call, for example to delete
// a million keys in one revision, answers nobody else meanwhile.
func (f *etcdFlags) patience() time.Duration { return cmp.Or(f.timeout, time.Minute) }

// patient returns options for interactive verbs. After a while, whoever waits is told why, once.
func (inv *invocation) patient(log *slog.Logger) (etcd.Options, error) {
	o, err := inv.etcd.options(log)
	o.Timeout = inv.etcd.patience()
	o.Waiting = func(where string, limit time.Duration) {
		inv.waiting.Do(func() {
			fmt.Fprintf(inv.told, "%s does not answer yet; waiting for up to %v (--etcd-timeout)\n", where, limit)
		})
	}
	return o, err
}

// dial returns the store that the flags name. It does not wait for etcd.
func (inv *invocation) dial() (*store.Store, error) {
	log, err := inv.logger()
	if err != nil {
		return nil, err
	}
	o, err := inv.patient(log)
	if err != nil {
		return nil, err
	}
	return store.Dial(o)
}
