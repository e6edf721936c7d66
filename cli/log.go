package cli

import (
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/orlop/orlop/specconv/codec"
)

// level is how important a line of the log is.
type level int

const (
	levelError level = iota
	levelWarning
	levelInfo
	levelDebug
)

// setLevel parses the value of --log-level.
func (l *logger) setLevel(value string) bool {
	switch value {
	case "error":
		l.level = levelError
	case "warning", "warn":
		l.level = levelWarning
	case "info":
		l.level = levelInfo
	case "debug":
		l.level = levelDebug
	default:
		return false
	}
	return true
}

// setFormat parses the value of --log-format.
func (l *logger) setFormat(value string) (ok bool) {
	l.json = value == "json"
	return l.json || value == "text"
}

// logger tells the user and the engine what went wrong. Without a file all of it goes to standard
// error.
//
// Warnings are for people: something that was asked for is not done, or others are affected. Notes
// are warnings for the log, such as those that the specification wants for capabilities that cannot
// be granted: engines pass standard error on to their users, who can do nothing about them. Without
// a file they are shown from --log-level info on.
//
// With a file, the error's line is the only one that a failing call writes to it (but for --debug),
// since Podman reads the whole of it as one JSON object. So warnings are held back until it is
// known how the call ends: see succeed. The error's message goes to standard error as well, where
// conmon reads it.
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

// held is a warning that waits, and the level from which on standard error shows it.
type held struct {
	message string
	shown   level
}

// warn tells what is no error, and yet should be known.
func (l *logger) warn(message string) { l.warning(held{message, levelWarning}) }

// note tells what need not be known.
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

// show writes a warning to standard error, if it is for there.
func (l *logger) show(w held) {
	if l.level >= w.shown {
		l.toStderr("warning", w.message)
	}
}

// debug writes a line at once, when asked for: it is for the one who looks for a fault, also of a
// call that never ends.
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

// succeed is called when the work is done, before a process in the foreground is waited for:
// warnings may be written from then on.
func (l *logger) succeed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	for _, w := range l.held {
		_ = l.write(l.file, "warning", w.message, nil)
	}
	l.held = nil
}

// finish ends the log with the call's error, if it has one, which it returns.
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

// fail is the only place where errors are written.
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
	// Bare, as from runc: Podman puts the runtime's name before it.
	_, _ = io.WriteString(l.stderr, message+"\n")
}

// toStderr writes a message for people; a kind other than an error's is named.
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

// write writes one line in the log's format, in one call, so that lines of several programs do not
// mix.
func (l *logger) write(w io.Writer, kind, message string, more []detail) error {
	// UTC, since the local time would have to be read from a file first.
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
