package health

import (
	"fmt"
	"regexp"
	"strconv"
)

// decimal is a number as JSON and people write it. Go reads more: 1_0.5, 0x1p4, inf and nan.
var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// IsNumber reports whether a text is a decimal number, of whatever size.
func IsNumber(text string) bool { return decimal.MatchString(text) }

// ParseNumber reads a decimal number. Its error is one of strconv's.
func ParseNumber(text string) (float64, error) {
	if !IsNumber(text) {
		return 0, &strconv.NumError{Func: "ParseNumber", Num: text, Err: strconv.ErrSyntax}
	}
	return strconv.ParseFloat(text, 64)
}

// octal is a number that some readers of YAML, and Go's of flags, take as one with base 8.
var octal = regexp.MustCompile(`^[+-]?0[0-9]+$`)

// Twofold returns an error for a number that is two numbers, depending on who reads it: 010 is ten or eight.
func Twofold(text string) error {
	if octal.MatchString(text) {
		return fmt.Errorf("%s is octal to some readers and decimal to others; write it without the zero before it",
			text)
	}
	return nil
}
