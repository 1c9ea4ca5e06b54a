package demo

import (
	"io"
	"os"

	"golang.org/x/term"
)

// keyboard reads single keys from a terminal until restore is called.
type keyboard struct {
	keys    chan byte // closed at the end of input
	restore func()
}

// openKeyboard puts the terminal into raw mode. Other input has no keys.
func openKeyboard(in io.Reader) (*keyboard, error) {
	k := &keyboard{restore: func() {}}
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return k, nil
	}
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	k.restore = func() { term.Restore(int(f.Fd()), before) }
	k.keys = make(chan byte)
	go func() {
		defer close(k.keys)
		b := make([]byte, 1)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			if n == 1 {
				k.keys <- b[0]
			}
		}
	}()
	return k, nil
}

// Keys that end the demo: in raw mode the terminal makes no signal of Ctrl-C.
const (
	ctrlC = 3
	ctrlD = 4
)
