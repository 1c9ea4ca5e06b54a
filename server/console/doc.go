// Package console is what people look at in a browser: what is broken, who says so, and where the users went.
//
// It only reads. Each screen is a URL. It is made from one Status, shared by all who ask at about the same time, and
// can be read without JavaScript. The script only fetches a screen again when the event stream says "changed".
// Everything that a screen needs is in the binary. html/template escapes what comes from outside (names, errors,
// labels). Characters that a screen would not show are spelled out (see visible).
package console
