package snapshot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/disk"
	"leeward/zones/document"
)

// Saved describes a copy on disk.
type Saved struct {
	Format   int       `json:"format"`
	Revision int64     `json:"revision"` // of the source
	Cluster  uint64    `json:"cluster"`  // etcd's cluster id; 0: the source is a folder
	Time     time.Time `json:"time"`     // when it was saved, by this machine's clock
	Count    int       `json:"count"`    // number of resources

	Serials *zones.Serials `json:"serials,omitempty"` // nil in a copy by an older Leeward
}

// stateFormat is the version of the file's layout. Files of other versions are refused.
const stateFormat = 1

// StateFile is the name of the last good copy in the --state folder.
const StateFile = "last-good"

// Save writes the last good copy of the resources in service. The file is a gzip of a line of JSON (Saved), a line for
// each resource (key, tab, value), and a line with the SHA-256 of everything before it. A new file replaces the old one
// whole, so there is a complete copy at any moment. Save fills in meta's Format, Count and Serials, and unpacks one
// resource at a time.
func Save(folder string, meta Saved, resources *catalog.Frozen) error {
	err := disk.Write(filepath.Join(folder, StateFile), 0o600, func(f *os.File) error {
		return writeState(f, meta, resources)
	})
	if err != nil {
		return fmt.Errorf("state: %w; the copy from before stays", err)
	}
	return nil
}

func writeState(w io.Writer, meta Saved, resources *catalog.Frozen) error {
	z := gzip.NewWriter(w)
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(z, sum), 1<<16)
	meta.Format, meta.Count, meta.Serials = stateFormat, resources.Len(), &resources.Serials
	head, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "%s\n", head)
	for r := range resources.All() {
		value, err := zones.Encode(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Key(), err)
		}
		b.WriteString(string(r.Key()))
		if z, ok := r.(*zones.Zone); ok && z.Serial != nil {
			fmt.Fprintf(b, "\x1f%d", *z.Serial)
		}
		b.WriteByte('\t')
		b.Write(value)
		b.WriteByte('\n')
	}
	if err := b.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(z, "%s\n", hex.EncodeToString(sum.Sum(nil)))
	return z.Close()
}

// Load reads the last good copy from the --state folder. The error wraps fs.ErrNotExist if there is no copy, and is the
// context's cause if that ends. Any other error says why the file cannot be trusted: it is cut short, altered, or of
// another format.
func Load(ctx context.Context, folder string) (Saved, []zones.Change, error) {
	file := filepath.Join(folder, StateFile)
	f, err := disk.Open(file)
	if err != nil {
		return Saved{}, nil, fmt.Errorf("state: %w", err)
	}
	defer f.Close()
	most := int64(stateLeast)
	if info, err := f.Stat(); err == nil {
		most += info.Size() * stateRatio
	}
	meta, changes, err := readState(ctx, f, most)
	if ctx.Err() != nil {
		return Saved{}, nil, fmt.Errorf("state: %w", context.Cause(ctx))
	}
	if err != nil {
		return Saved{}, nil, fmt.Errorf("state: %s cannot be used: %w; it is left alone and written again "+
			"once the source has been read", file, err)
	}
	return meta, changes, nil
}

// Bounds on a copy. A malicious file can unpack to a thousand times its size; resources unpack to some tens of times.
const (
	stateLeast = 64 << 20 // octets that any copy may unpack to
	stateRatio = 200      // further octets for each octet of the file
	stateLine  = 16 << 20 // octets of one resource; etcd takes 1.5 MiB, a set of a master file 64 KiB of RDATA
)

var errStateLarge = errors.New("it unpacks to more than resources would")

// capped is a reader that fails after so many octets.
type capped struct {
	io.Reader
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if c.left -= int64(n); c.left < 0 {
		return 0, errStateLarge
	}
	return n, err
}

func readState(ctx context.Context, r io.Reader, most int64) (meta Saved, changes []zones.Change, err error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<16))
	if err != nil {
		return meta, nil, err
	}
	sum := sha256.New()
	lines := bufio.NewReaderSize(&capped{z, most}, 1<<16)
	var line, next []byte // read one line ahead, as the last line is the checksum of all before it
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return meta, nil, err
		}
		next, err = readLine(lines)
		if errors.Is(err, io.EOF) && len(next) == 0 {
			break
		}
		if err != nil {
			return meta, nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if n > 0 {
			sum.Write(line)
			if err := meta.take(n, line, &changes); err != nil {
				return meta, nil, err
			}
			if len(changes) > meta.Count {
				return meta, nil, fmt.Errorf("it should hold %d resources and holds more", meta.Count)
			}
		}
		line = next
	}
	if want := hex.EncodeToString(sum.Sum(nil)); want != string(bytes.TrimSpace(line)) {
		return meta, nil, errors.New("its checksum does not match its content")
	}
	if meta.Count != len(changes) {
		return meta, nil, fmt.Errorf("it should hold %d resources and holds %d", meta.Count, len(changes))
	}
	return meta, changes, nil
}

// take reads line n, from 1.
func (meta *Saved) take(n int, line []byte, changes *[]zones.Change) error {
	if n == 1 {
		if err := json.Unmarshal(line, meta); err != nil {
			return fmt.Errorf("line 1: %w", err)
		}
		if meta.Format != stateFormat {
			return fmt.Errorf("it has format %d, and this Leeward reads format %d", meta.Format, stateFormat)
		}
		return nil
	}
	text, value, found := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
	if !found {
		return fmt.Errorf("line %d: no tab after the key", n)
	}
	key, serial, _ := strings.Cut(string(text), "\x1f")
	c := zones.Change{Key: zones.Key(key), Revision: meta.Revision}
	c.Resource, c.Err = document.Decode(c.Key, value)
	if z, ok := c.Resource.(*zones.Zone); ok && serial != "" {
		number, err := strconv.ParseUint(serial, 10, 32)
		if err != nil {
			return fmt.Errorf("line %d: serial: %w", n, err)
		}
		given := uint32(number)
		z.Serial = &given
	}
	*changes = append(*changes, c)
	return nil
}

// readLine reads a line including its end.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > stateLine {
			return nil, fmt.Errorf("it is longer than %d octets", stateLine)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return line, err
		}
	}
}
