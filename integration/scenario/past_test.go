//go:build linux

package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"leeward/integration/lab"
	"leeward/integration/script"
)

// keepTime and keepRevision keep values for later lines, which name them as $NAME.
func (x *scenario) keepTime(a script.Args) error {
	x.name(a.Text(0), time.Now().UTC().Format(time.RFC3339Nano))
	return nil
}

func (x *scenario) keepRevision(a script.Args) error {
	out, err := x.ctlOut("", "get", "/leeward/"+a.Text(0), "-w", "json")
	if err != nil {
		return err
	}
	var got struct {
		Kvs []struct {
			Revision int64 `json:"mod_revision"`
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		return err
	}
	if len(got.Kvs) != 1 {
		return fmt.Errorf("there is no /leeward/%s", a.Text(0))
	}
	x.name(a.Text(1), fmt.Sprint(got.Kvs[0].Revision))
	return nil
}

func (x *scenario) name(name, value string) {
	x.mu.Lock()
	x.kept["$"+name] = value
	x.mu.Unlock()
}

// withKept replaces each $NAME by its value.
func (x *scenario) withKept(args []string) ([]string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]string, 0, len(args))
	for _, arg := range args {
		if strings.HasPrefix(arg, "$") {
			value, ok := x.kept[arg].(string)
			if !ok {
				return nil, fmt.Errorf("no step before has kept anything as %s", arg[1:])
			}
			arg = value
		}
		out = append(out, arg)
	}
	return out, nil
}

// says runs a verb beside a server. Its output must have all the texts, separated by " and ", in their order.
func (x *scenario) says(r *lab.Region, a script.Args) error {
	line, wanted, ok := strings.Cut(a.Text(1), " says ")
	if !ok {
		return fmt.Errorf("write: leeward at R VERB … says TEXT and TEXT")
	}
	args, err := x.withKept(strings.Fields(line))
	if err != nil {
		return err
	}
	o := lab.Command(x.t, r.Host, "", append([]string{lab.Binary}, args...)...)
	rest := strings.Join(strings.Fields(o.Stdout+o.Stderr), " ")
	for want := range strings.SplitSeq(wanted, " and ") {
		_, after, found := strings.Cut(rest, want)
		if !found {
			return fmt.Errorf("there is no %q (after what comes before it in the line) in: %v", want, o)
		}
		rest = after
	}
	return nil
}
