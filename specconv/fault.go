package specconv

import (
	"errors"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Path is the JSON path of the field, "linux.namespaces[2].path"; empty for the file as a whole.
	Path string
	// Problem says what is wrong with it, "must be absolute".
	Problem string
}

// Error returns "path: problem".
func (f Fault) Error() string {
	if f.Path == "" {
		return f.Problem
	}
	return f.Path + ": " + f.Problem
}

// FieldError is why this host cannot give what a field asks for, though there is nothing wrong with it.
type FieldError struct {
	// Path is the JSON path of the field, as a Fault's.
	Path string
	Err  error
}

// Error returns "path: error".
func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// Placed is an error that knows the field of config.json that it comes from.
type Placed interface {
	error
	// Place returns the field's JSON path, "" when the error is of this kind and comes from no field.
	Place() string
}

// Place returns the Path.
func (f Fault) Place() string { return f.Path }

// Place returns the Path.
func (e *FieldError) Place() string { return e.Path }

// PlaceOf returns the JSON path of the field that an error comes from, and what the error says of it. The path is "" and the text the whole error
// where no field is known.
func PlaceOf(err error) (path, text string) {
	var placed Placed
	if !errors.As(err, &placed) || placed.Place() == "" {
		return "", err.Error()
	}
	return placed.Place(), strings.TrimPrefix(placed.Error(), placed.Place()+": ")
}

// maxListed bounds how many faults or warnings a message lists.
const maxListed = 100

// Faults are all the faults of a configuration, in the order of the specification's sections. A non-empty list is an
// error; errors.As finds it behind what Load and Parse return.
type Faults []Fault

// Error returns the single fault on one line, or a heading and one fault per line.
func (f Faults) Error() string {
	switch len(f) {
	case 0:
		return "no faults"
	case 1:
		return f[0].Error()
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(len(f)) + " faults:")
	for i, one := range f {
		if i == maxListed {
			b.WriteString("\n  and " + strconv.Itoa(len(f)-i) + " more")
			break
		}
		b.WriteString("\n  " + one.Error())
	}
	return b.String()
}

// Unwrap gives errors.As the single faults.
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i, one := range f {
		errs[i] = one
	}
	return errs
}

// err returns the list as an error, nil when it is empty: a nil Faults in an error interface would not be nil.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
