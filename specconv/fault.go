package specconv

import (
	"strconv"
	"strings"
)

// FieldError says what is wrong with a field of config.json, or why this host cannot provide what
// the field asks for. Programs ask for this type to learn which field an error comes from.
type FieldError struct {
	// Path is the JSON path of the field, such as "linux.namespaces[2].path"; empty if the error
	// comes from no field.
	Path string
	Err  error
}

// Error implements error: "path: cause".
func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Err.Error()
	}
	return e.Path + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// Problem is the cause of an error in a configuration that is invalid on every host, such as "must
// be absolute".
type Problem string

// Error returns the text.
func (p Problem) Error() string { return string(p) }

// Invalid returns the error of a field whose value is not valid.
func Invalid(path, problem string) *FieldError { return &FieldError{path, Problem(problem)} }

// maxListed bounds how many faults or warnings a message lists.
const maxListed = 100

// Faults are all the faults of a configuration, in the order of the specification's sections. A
// non-empty list is an error; errors.As finds it in the errors of Load and Parse.
type Faults []*FieldError

// Error implements error: a single fault on one line, or a heading and one fault per line.
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

// Unwrap returns the single faults.
func (f Faults) Unwrap() []error {
	errs := make([]error, len(f))
	for i, one := range f {
		errs[i] = one
	}
	return errs
}

// err returns the list as an error, nil when it is empty: a nil Faults in an error interface would
// not be nil.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
