package cli

import (
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/orlop/orlop/specconv/codec"
)

// level is the importance of a line in the log.
type level int

const (
	levelError level = iota
	levelWarning
	levelInfo
	levelDebug
)

// levels returns the names of the levels.
func levels() []string { return []string{"error", "warning", "info", "debug"} }

// setLevel parses the value of --log-level.
func (l *logger) setLevel(value string) bool {
	if value == "warn" {
		value = "warning"
	}
	i := slices.Index(levels(), value)
	if i >= 0 {
		l.level = level(i)
	}
	return i >= 0
}

// setFormat parses the value of --log-format.
func (l *logger) setFormat(value string) (ok bool) {
	l.json = value == "json"
	return l.json || value == "text"
}

// logger writes errors and warnings for the user and the engine: to standard error, or to a file.
//
// Warnings are for people: orlop does not do something that was asked for, or affects others. Notes
// are warnings that nobody has to act on, such as the one that the specification wants for a
// capability that cannot be granted. They go to the file; without a file, standard error shows them
// from --log-level info on, since engines show it to their users.
//
// A failing call writes nothing to the file but the error (and debug messages), since Podman parses
// the whole file as one JSON object. So warnings are held back until the call has succeeded. The
// error's message also goes to standard error, which conmon reads.
type logger struct {
	stderr io.Writer
	path   string   // of --log
	file   *os.File // nil without --log
	json   bool
	level  level
	now    func() time.Time

	mu   sync.Mutex // libcontainer may warn from any goroutine
	done bool       // succeed was called
	held []held     // warnings until then
}

func newLogger(stderr io.Writer) logger {
	return logger{stderr: stderr, level: levelWarning, now: time.Now}
}

// held is a warning that waits, and the level from which standard error shows it.
type held struct {
	message string
	shown   level
}

// warn logs a warning.
func (l *logger) warn(message string) { l.warning(held{message, levelWarning}) }

// note logs a note.
func (l *logger) note(message string) { l.warning(held{message, levelInfo}) }

func (l *logger) warning(w held) {
	if l.level < levelWarning {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.file == nil:
		l.show(w)
	case l.done:
		_ = l.write(l.file, "warning", w.message, nil)
	default:
		l.held = append(l.held, w)
	}
}

// show writes a warning to standard error if the level allows it.
func (l *logger) show(w held) {
	if l.level >= w.shown {
		l.toStderr("warning", w.message)
	}
}

// debug writes a debug message at once: the call may never end.
func (l *logger) debug(message string) {
	if l.level < levelDebug {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		l.toStderr("debug", message)
	} else {
		_ = l.write(l.file, "debug", message, nil)
	}
}

// succeed is called when the work is done, before the command waits for a process in the
// foreground. Warnings are written from then on.
func (l *logger) succeed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	for _, w := range l.held {
		_ = l.write(l.file, "warning", w.message, nil)
	}
	l.held = nil
}

// finish closes the log with the call's error, if any, and returns it.
func (l *logger) finish(err error) error {
	if err == nil {
		l.succeed()
	} else {
		l.fail(err)
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	return err
}

// fail writes the error. Nothing else does.
func (l *logger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.held {
		l.show(w)
	}
	l.held = nil
	message := err.Error()
	if l.file == nil {
		if l.json {
			_ = l.write(l.stderr, "error", message, details(err))
		} else {
			l.toStderr("", message)
		}
		return
	}
	if werr := l.write(l.file, "error", message, details(err)); werr != nil {
		l.toStderr("warning", "--log: "+werr.Error())
	}
	// Without a prefix, as from runc: Podman adds the runtime's name.
	_, _ = io.WriteString(l.stderr, message+"\n")
}

// toStderr writes a message for people. It names its kind, except for an error.
func (l *logger) toStderr(kind, message string) {
	if l.json && l.file == nil {
		_ = l.write(l.stderr, kind, message, nil)
		return
	}
	prefix := name + ": "
	if kind != "" {
		prefix += kind + ": "
	}
	_, _ = io.WriteString(l.stderr, prefix+message+"\n")
}

// write writes one line in the log's format by one call, so that the lines of several programs do
// not mix.
func (l *logger) write(w io.Writer, kind, message string, more []detail) error {
	// UTC: the local time zone is in a file.
	now := l.now().UTC().Format(time.RFC3339)
	var line []byte
	if l.json {
		line = append(line, `{"level":`...)
		line = codec.AppendText(line, kind)
		line = append(line, `,"msg":`...)
		line = codec.AppendText(line, message)
		line = append(line, `,"time":`...)
		line = codec.AppendText(line, now)
		for _, d := range more {
			line = append(line, ',')
			line = codec.AppendText(line, d.key)
			line = append(line, ':')
			line = codec.AppendText(line, d.value)
		}
		line = append(line, '}', '\n')
	} else {
		line = append(line, "time="...)
		line = strconv.AppendQuote(line, now)
		line = append(line, " level="+kind+" msg="...)
		line = strconv.AppendQuote(line, message)
		for _, d := range more {
			line = append(line, " "+d.key+"="...)
			line = strconv.AppendQuote(line, d.value)
		}
		line = append(line, '\n')
	}
	_, err := w.Write(line)
	return err
}
