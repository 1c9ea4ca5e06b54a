package main

import "errors"

// once is a flag's text that can be given one time only, as the last of two would silently count.
type once struct {
	text  *string
	given bool
}

func (o *once) String() string {
	if o.text == nil {
		return ""
	}
	return *o.text
}

func (o *once) Set(s string) error {
	if o.given {
		return errors.New("it is given twice, and there is one; leave one out")
	}
	*o.text, o.given = s, true
	return nil
}

// Type is what --help shows where the flag's text names nothing.
func (o *once) Type() string { return "string" }
