// Package hang has the limit after which tests give up.
package hang

import "time"

// Limit is how long a test waits for what takes a moment before it says that it hangs. A machine many times
// slower than usual, with other work to do, does not reach it.
const Limit = 5 * time.Minute
