// Package console is what people look at in a browser: what is broken, who says so, and where the users went.
//
// It reads only. Each screen is a URL, made from one Status that all who ask within a moment share, and readable
// without JavaScript; the script only fetches a screen again when the event stream says "changed". Everything it needs
// is in the binary. What comes from outside (names, errors, labels) is escaped by html/template, and characters that a
// screen would not show are spelled (see visible).
package console
