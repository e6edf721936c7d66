package state

// Operation is one operation that the first process of a created container still has to do when it is started. `start`, which
// knows nothing of the program that the process runs, says by it which step failed.
type Operation struct {
	Op    int    `json:"op"`              // its number in the program
	Call  string `json:"call"`            // the system call
	Title string `json:"title"`           // the step, for people
	Field string `json:"field,omitempty"` // the step's JSON path in config.json
}

const remainingSection = "remaining"

// Remaining decodes the operations that are left; nil when there are none.
func (r *Record) Remaining() ([]Operation, error) {
	list, err := decode[[]Operation](r, remainingSection)
	if err != nil || list == nil {
		return nil, err
	}
	return *list, nil
}

// SetRemaining sets what Remaining returns.
func (r *Record) SetRemaining(list []Operation) error { return encode(r, remainingSection, &list) }
