package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"leeward/cmd/leeward/drill"
	"leeward/cmd/leeward/hangup"
	"leeward/cmd/leeward/process"
	"leeward/health/resolve"
	"leeward/server/answer"
	"leeward/server/dnstap"
	"leeward/server/history"
	"leeward/server/rrl"
	"leeward/server/socket"
)

// vantageFlags are the flags that a server and a probe have in common.
type vantageFlags struct {
	id, region       string
	admin, adminURL  string
	token, tokenFile string
	tls              process.AdminTLS
	probe            process.ProbeTLS
	resolvers        []string
}

func (f *vantageFlags) add(flags *pflag.FlagSet, admin string) {
	flags.StringVar(&f.id, "id", "",
		"the `NAME` of this server or probe; no two may have the same (default: the host's name)")
	flags.StringVar(&f.region, "region", "", "the `REGION` that it is in")
	flags.StringVar(&f.admin, "admin", admin,
		"the `ADDRESS` of the admin interface (HTTP: console, status, metrics); port 0 takes a free one; empty for "+
			"none")
	flags.StringVar(&f.adminURL, "admin-url", "",
		"the `URL` of the admin interface for people, if it is not that of --admin (a name, a proxy); the consoles of "+
			"other servers link to it")
	flags.StringVar(&f.token, "admin-token", "",
		"the token that the admin interface asks for; needed unless it is on loopback or has --admin-client-ca; "+
			"safer in LEEWARD_ADMIN_TOKEN or a file")
	flags.StringSliceVar(&f.resolvers, "resolver", nil,
		"the `ADDRESS` of a resolver for endpoints' hostnames; repeatable (default: the system's)")
	flags.StringVar(&f.tokenFile, "admin-token-file", "", "a `FILE` with the token")
	flags.StringVar(&f.tls.Cert, "admin-tls-cert", "",
		"a `FILE` with the certificate of the admin interface, which then speaks TLS; read again when it changes, "+
			"like the key, --admin-client-ca and the token")
	flags.StringVar(&f.tls.Key, "admin-tls-key", "", "a `FILE` with its private key")
	flags.StringVar(&f.tls.ClientCA, "admin-client-ca", "",
		"a `FILE` of CA certificates; clients of the admin interface need a certificate that one of them has signed")
	flags.StringVar(&f.probe.Cert, "probe-cert", "",
		"a `FILE` with the client certificate for probes of endpoints that ask for one")
	flags.StringVar(&f.probe.Key, "probe-key", "", "a `FILE` with its private key")
}

// settings checks the flags.
func (f *vantageFlags) settings() (s process.Settings, err error) {
	s = process.Settings{
		ID: f.id, Region: f.region, Admin: f.admin, AdminURL: strings.TrimSuffix(f.adminURL, "/"),
		AdminTLS: f.tls, TokenFile: f.tokenFile,
		ProbeTLS: f.probe, Drills: drill.Shown,
	}
	s.Notify = os.Getenv("NOTIFY_SOCKET")
	if err := f.probe.Check(); err != nil {
		return s, usageError{err}
	}
	if s.ID == "" {
		if s.ID, err = os.Hostname(); err != nil {
			return s, fmt.Errorf("the host's name is unknown (%w); name this vantage with --id", err)
		}
	}
	if strings.ContainsAny(s.ID, "/ \t\n") || len(s.ID) > 128 {
		return s, misused("--id %q: write at most 128 characters without spaces and slashes", s.ID)
	}
	if !utf8.ValidString(s.ID) {
		return s, misused("--id %q: it is not UTF-8, which others need to read it", s.ID)
	}
	if s.Token, err = readToken(f.token, f.tokenFile); err != nil {
		return s, err
	}
	if err := process.CheckAdmin(s.Admin, s.Token, s.AdminTLS); err != nil {
		return s, usageError{err}
	}
	if err := process.CheckAdminURL(s.AdminURL); err != nil {
		return s, misused("--admin-url: %v", err)
	}
	for _, text := range f.resolvers {
		a, err := resolve.ParseServer(text)
		if err != nil {
			return s, misused("--resolver: %v", err)
		}
		s.Resolvers = append(s.Resolvers, a)
	}
	s.Version, _, _ = version()
	return s, nil
}

// readToken returns the admin interface's token from either flag.
func readToken(token, file string) (string, error) {
	if file == "" {
		if token != "" && strings.TrimSpace(token) != token {
			return "", misused("--admin-token begins or ends with a space, which no client sends; remove the space")
		}
		return token, nil
	}
	if token != "" {
		return "", misused("--admin-token and --admin-token-file are both given; leave one out")
	}
	token, err := process.ReadToken(file)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	return token, nil
}

func newServe(inv *invocation) *cobra.Command {
	var f vantageFlags
	var files, state, keys, keySecrets, signatures string
	var listen, geodb, tsigKeys []string
	var rate, slip int
	var exempt []string
	var cookieSecrets string
	var compact, historyAge time.Duration
	var historyOctets int64
	var noProbe, countCountries, countTop, metricsDetail bool
	var tap, tapSample string
	var chaos []string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a DNS server", GroupID: groupServe, Args: cobra.NoArgs,
		Long: `Serve answers DNS queries for the zones in etcd, or in a folder, and probes
their endpoints.

Everything that a query needs is in memory, so no query waits for etcd. With
--state the server keeps a copy of the last good snapshot on disk; after a restart
it answers from that at once, with or without etcd. SIGHUP makes it read its files
again. On SIGTERM it withdraws its reports, answers the queries that it has
received, and exits.`,
		Example: `  leeward serve --files ./zones --listen 127.0.0.1:5300
  leeward serve --etcd http://etcd-1:2379,http://etcd-2:2379 --region eu-west \
      --listen 0.0.0.0:53 --listen '[::]:53' --geodb GeoLite2-City.mmdb \
      --state /var/lib/leeward`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.settings()
			if err != nil {
				return err
			}
			if s.Log, err = inv.serverLogger(); err != nil {
				return err
			}
			from, err := inv.choose(cmd.Flags(), "etcd", "files")
			switch {
			case err != nil:
				return err
			case from == "":
				return misused("say where the resources are: give --etcd URL,… or --files DIR")
			case from == "etcd":
				files = ""
			case files == "":
				return misused("--files is empty; name the folder with the resources")
			}
			vains := append(f.vainAdmin(), inv.etcd.vainEtcd(cmd.Flags(), from == "files")...)
			vains = append(vains,
				vain{
					"key-secret-file", from == "files",
					"it opens keys in etcd, and with --files keys are files; leave it out",
				},
				vain{"key-secret-file", keys != "", "--keys has the keys already; leave one of the two out"})
			for _, name := range []string{"rrl-slip", "rrl-exempt"} {
				vains = append(vains, vain{name, rate == 0, "--rrl 0 limits nothing; leave one of the two out"})
			}
			for _, name := range []string{"history-octets", "history-age"} {
				vains = append(vains, vain{
					name, state == "", "without --state the history is in memory only; give both",
				})
			}
			for _, name := range []string{"probe-cert", "probe-key"} {
				vains = append(vains, vain{name, noProbe, "--no-probe probes nothing; leave one of the two out"})
			}
			if err := inv.inVain(cmd.Flags(), vains...); err != nil {
				return err
			}
			if noProbe && from == "files" {
				return misused("--no-probe with --files: without reports of others, every endpoint would count as " +
					"up; leave --no-probe out, or use --etcd")
			}
			if len(listen) == 0 {
				return misused("--listen is empty; give an address such as 127.0.0.1:5300")
			}
			for _, text := range listen {
				if err := socket.CheckListen(text); err != nil {
					return misused("--%w", err)
				}
			}
			if !cmd.Flags().Changed("rrl") {
				exempt = append(exempt, "127.0.0.0/8", "::1/128") // nobody elsewhere can forge these addresses
			}
			if s.RateLimit, err = rateLimit(rate, slip, exempt); err != nil {
				return err
			}
			s.CookieSecrets = cookieSecrets
			if s.Chaos, err = chaosOf(chaos, s.ID, s.Version); err != nil {
				return err
			}
			if historyOctets < 4<<20 || historyAge < time.Hour {
				return misused("--history-octets %d, --history-age %v: write 4194304 or more, and 1h or more",
					historyOctets, historyAge)
			}
			s.History = process.HistoryBounds{Octets: historyOctets, Age: historyAge}
			if s.DNSTap, err = dnstapOf(tap, tapSample, cmd.Flags().Changed("dnstap-sample")); err != nil {
				return err
			}
			s.Keys, s.KeySecrets, s.Edge = keys, keySecrets, signatures == "etcd"
			switch {
			case signatures == "":
			case signatures != "etcd":
				return misused("--signatures %q: it is etcd, where `leeward sign` writes them", signatures)
			case from == "files":
				return misused("--signatures etcd with --files: `leeward sign` signs what is in etcd; " +
					"leave one of the two out")
			case keys != "" || keySecrets != "":
				return misused("--signatures etcd with --keys or --key-secret-file: a server that takes signatures " +
					"from etcd holds no keys; leave one of the two out")
			}
			s.NoProbe, s.CountCountries, s.MetricsDetail = noProbe, countCountries, metricsDetail
			s.CountTop = countTop
			s.Listen, s.GeoDB, s.State, s.Files, s.TSIGKeys = listen, geodb, state, files, tsigKeys
			if from == "etcd" {
				if compact < 0 || compact > 0 && compact < time.Minute {
					return misused("--compact %v: give a minute or more, or 0 for never", compact)
				}
				s.Compact = compact
			}
			return inv.run(cmd.Context(), s)
		},
	}
	flags := cmd.Flags()
	inv.etcd.add(flags)
	f.add(flags, "127.0.0.1:8053")
	flags.StringVar(&files, "files", "",
		"read resources from a folder, `DIR`, instead of etcd: *.yaml, *.json and <origin>.zone, in subfolders too; "+
			"changes are followed")
	flags.StringSliceVar(&listen, "listen", []string{"127.0.0.1:5300"},
		"an `ADDRESS` to answer on, over UDP and TCP; repeatable")
	flags.StringSliceVar(&geodb, "geodb", nil,
		"a `FILE` with a location or ASN database (.mmdb); changes are followed; repeatable: the first that knows "+
			"wins (default: a built-in table of countries)")
	flags.StringArrayVar(&tsigKeys, "tsig-key", nil,
		"a `FILE` of TSIG keys for transfers and updates, as tsig-keygen writes it; repeatable; read again when it "+
			"changes")
	flags.BoolVar(&noProbe, "no-probe", false,
		"probe nothing, and rely on the reports of other servers and probes; for most servers of a large fleet")
	flags.StringVar(&state, "state", "",
		"a folder, `DIR`, for a copy of the last good snapshot, so that a restart answers at once (default: none)")
	flags.Int64Var(&historyOctets, "history-octets", history.DefaultOctets,
		"with --state: keep a history there, of `N` octets at most")
	flags.DurationVar(&historyAge, "history-age", history.DefaultAge,
		"with --state: keep the history for this `TIME`, as far as --history-octets allows")
	flags.StringVar(&keys, "keys", "",
		"a folder, `DIR`, with the keys that zones are signed with, in BIND's form (default, with --files: keys below "+
			"--state)")
	flags.StringVar(&keySecrets, "key-secret-file", "",
		"a `FILE` of secrets, 64 hexadecimal digits on each line, that open the keys of zones in etcd; read again "+
			"when it changes")
	flags.StringVar(&signatures, "signatures", "",
		"take the signatures of signed zones from `WHERE`, and hold no keys: etcd, where `leeward sign` writes them "+
			"(default: sign here, with --keys)")
	flags.IntVar(&rate, "rrl", defaultRRL,
		"how many responses of one kind a client prefix (/24, /56) gets each second over UDP; 0 for no limit; "+
			"loopback has no limit unless this is given")
	flags.IntVar(&slip, "rrl-slip", 2,
		"of the responses over the limit, send one in this many truncated and drop the others; 0 drops all")
	flags.StringSliceVar(&exempt, "rrl-exempt", nil,
		"a `PREFIX` of clients without a limit, such as a busy resolver; repeatable")
	flags.StringVar(&cookieSecrets, "cookie-secret-file", "",
		"a `FILE` of DNS cookie secrets, 32 hexadecimal digits on each line; the first makes cookies; read again at "+
			"SIGHUP (default: one that servers share through etcd)")
	flags.DurationVar(&compact, "compact", 5*time.Minute,
		"ask etcd to forget changes older than `AGE`, so that it does not grow; one server asks for all; 0 for never, "+
			"if others need etcd's history")
	flags.StringVar(&tap, "dnstap", "",
		"send copies of queries and responses to `TARGET` (dnstap): unix:PATH, tcp:HOST:PORT, or a file, opened again "+
			"at SIGHUP once it was moved away (default: none)")
	flags.StringVar(&tapSample, "dnstap-sample", "1/1", "copy one of N queries, `1/N`")
	flags.BoolVar(&metricsDetail, "metrics-detail", false,
		"add metrics by endpoint, by policy, rule and pool, and by type; of at most 10000 endpoints and policies")
	flags.BoolVar(&countCountries, "count-countries", false,
		"count the clients of steered names by country too (leeward top)")
	flags.BoolVar(&countTop, "count-top", false,
		"count which prefixes (/24, /56) ask most, and for which names (leeward top --clients --names)")
	flags.StringSliceVar(&chaos, "chaos", []string{"id", "version"},
		"what to answer in class CH: id (id.server, hostname.bind), version (version.bind, version.server); empty for "+
			"nothing")
	return cmd
}

// dnstapOf checks the flags of dnstap; nil: queries are not followed.
func dnstapOf(target, sample string, sampled bool) (*process.DNSTap, error) {
	if target == "" {
		if sampled {
			return nil, misused("--dnstap-sample says how many queries --dnstap copies; " +
				"give that too, or leave both out")
		}
		return nil, nil
	}
	to, err := dnstap.ParseTarget(target)
	if err != nil {
		return nil, misused("--dnstap: %v", err)
	}
	text, one := strings.CutPrefix(sample, "1/")
	n, err := strconv.Atoi(text)
	if err != nil || !one || n < 1 || n > 1_000_000 {
		return nil, misused("--dnstap-sample %q: write 1/N, such as 1/100, with N from 1 to 1000000", sample)
	}
	return &process.DNSTap{Target: to, Every: n}, nil
}

// chaosOf checks the flag of class CH.
func chaosOf(words []string, id, version string) (c answer.Chaos, err error) {
	for _, word := range words {
		switch strings.TrimSpace(word) {
		case "id":
			c.ID = id
		case "version":
			c.Version = "leeward " + version
		case "":
		default:
			return c, misused("--chaos %q: write id, version or both, as in --chaos id,version", word)
		}
	}
	return c, nil
}

// defaultRRL is NSD's default, far more than a resolver asks for one name whose answer it caches.
const defaultRRL = 200

// rateLimit checks the flags of the rate limit.
func rateLimit(rate, slip int, exempt []string) (l answer.RateLimit, err error) {
	if rate < 0 || rate > rrl.MaxRate {
		return l, misused("--rrl %d: write responses a second and prefix, at most %d, or 0 for no limit", rate,
			rrl.MaxRate)
	}
	if slip < 0 || slip > rrl.MaxSlip {
		return l, misused("--rrl-slip %d: write 1 to %d, or 0 to drop all", slip, rrl.MaxSlip)
	}
	l = answer.RateLimit{Rate: rate, Slip: slip}
	for _, text := range exempt {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return l, misused("--rrl-exempt %q: give a prefix such as 192.0.2.0/24, or an address", text)
		}
		l.Exempt = append(l.Exempt, p.Masked())
	}
	return l, nil
}

// hangups returns a channel with a value for each SIGHUP, and a function that ends that.
func hangups() (<-chan struct{}, func()) {
	signals, out, done := hangup.Signals, make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP) // in case package hangup did not recognize the verb
	go func() {
		for {
			select {
			case <-signals:
				select {
				case out <- struct{}{}:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(done) }
}
