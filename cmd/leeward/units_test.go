//go:build !noembed

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"leeward/cmd/leeward/embedded"
)

// unit is what a systemd unit of deploy/systemd runs.
type unit struct {
	args, environment []string
	credentials       map[string]string // the file of each
}

// readUnit reads a unit as systemd does, with credentials in a folder.
func readUnit(t *testing.T, name, credentials string) (u unit) {
	t.Helper()
	u.credentials = map[string]string{}
	text, err := os.ReadFile("../../deploy/systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	settings := func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				u.environment = append(u.environment, line)
			}
		}
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			value = strings.ReplaceAll(value, "${STATE_DIRECTORY}", filepath.Join(credentials, "state"))
			value = strings.TrimSuffix(value, " $EXTRA")
			u.args = strings.Fields(value)[1:]
		case "Environment":
			settings(strings.ReplaceAll(value, "%d", credentials))
		case "EnvironmentFile":
			text, err := os.ReadFile("../../deploy/systemd/" + filepath.Base(value))
			if err != nil {
				t.Fatal(err)
			}
			settings(string(text))
		case "LoadCredential":
			name, file, _ := strings.Cut(value, ":")
			u.credentials[name] = file
		}
	}
	return u
}

// TestUnitsSettings: each variable in units and in their files of settings is a flag of the verb that the unit runs,
// even if the line is commented out.
func TestUnitsSettings(t *testing.T) {
	variable := regexp.MustCompile(`(?m)^#?(?:Environment=)?LEEWARD_([A-Z_]+)=`)
	for name, file := range map[string]string{
		"leeward.service": "leeward.env", "leeward-probe.service": "probe.env", "leeward-sign.service": "sign.env",
	} {
		verb := readUnit(t, name, t.TempDir()).args[0]
		known := func(flag string) bool {
			var out strings.Builder
			run(t.Context(), []string{verb, flag + "=x", "--help"}, nil, strings.NewReader(""), &out, &out)
			return !strings.Contains(out.String(), "unknown flag")
		}
		if known("--no-such-flag") {
			t.Fatal("a flag that there is not is known")
		}
		n := 0
		for _, path := range []string{name, file} {
			text, err := os.ReadFile("../../deploy/systemd/" + path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
				n++
				flag := "--" + strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
				if !known(flag) {
					t.Errorf("%s: LEEWARD_%s: leeward %s has no %s", path, m[1], verb, flag)
				}
			}
		}
		if n < 3 {
			t.Errorf("%s: %d variables", name, n)
		}
	}
}

// TestSignUnit: a signer started as its unit starts it opens the keys in etcd with the credentials it gets, says that
// it is ready, and signs.
func TestSignUnit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	dir := t.TempDir()
	u := readUnit(t, "leeward-sign.service", dir)
	if len(u.credentials) != 1 || u.credentials["key-secrets"] != "/etc/leeward/key-secrets" {
		t.Fatalf("it is handed %v", u.credentials)
	}
	secrets := filepath.Join(dir, "key-secrets")
	write(t, secrets, strings.Repeat("0123456789abcdef", 4)+"\n")
	if err := os.Chmod(secrets, 0o440); err != nil { // the mode of systemd's copies
		t.Fatal(err)
	}
	var out strings.Builder
	for _, args := range [][]string{
		{"apply", "-f", "-"},
		{"key", "generate", "example.test", "--key-secret-file", secrets},
	} {
		in := strings.NewReader(
			"{kind: Zone, name: example.test, nameservers: [ns1.example.net], dnssec: {enabled: true}}")
		if code := run(ctx, args, []string{"LEEWARD_ETCD=" + etcd.URL()}, in, &out, &out); code != 0 {
			t.Fatal(out.String())
		}
	}

	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	environment := append(u.environment, "LEEWARD_ETCD="+etcd.URL(), "LEEWARD_ADMIN=127.0.0.1:0")
	s := serveWith(t, environment, u.args...)
	if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for state := ""; !strings.HasPrefix(state, "READY=1\n"); {
		buffer := make([]byte, 4096)
		n, _, err := manager.ReadFromUnix(buffer)
		if err != nil {
			t.Fatalf("it does not say that it is ready: %v\n%s", err, s.logged())
		}
		state = string(buffer[:n])
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.URL()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.await("all is signed", func() bool {
		r, err := c.Get(ctx, "/leeward.signatures/example.test/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range r.Kvs {
			if strings.HasSuffix(string(kv.Key), "/whole") {
				return true
			}
		}
		return false
	})
	if text := s.logged(); strings.Contains(text, "chmod") {
		t.Errorf("the copy that systemd hands over is found to be open:\n%s", text)
	}
}
