package engines

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	pb "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The channels of a stream, by the first byte of each message.
const (
	stdinChannel = iota
	stdoutChannel
	stderrChannel
	errorChannel // how the program ended, as JSON
	resizeChannel
)

// stream is a connection to the service's streaming server, as `kubectl exec` has it.
type stream struct {
	t    *testing.T
	ws   *websocket.Conn
	read [5]bytes.Buffer // by channel
}

// dial connects to the address that the service gave for a stream.
func dial(t *testing.T, url, query string) *stream {
	t.Helper()
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(url, "http")+query, "http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	config.Protocol = []string{"v4.channel.k8s.io"}
	ws, err := websocket.DialConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	if err := ws.SetDeadline(time.Now().Add(limit())); err != nil {
		t.Fatal(err)
	}
	return &stream{t: t, ws: ws}
}

// send writes to a channel.
func (s *stream) send(channel byte, text string) {
	s.t.Helper()
	if err := websocket.Message.Send(s.ws, append([]byte{channel}, text...)); err != nil {
		s.t.Fatal(err)
	}
}

// until reads until a channel has had the text, or the stream ends.
func (s *stream) until(channel int, text string) {
	s.t.Helper()
	for !strings.Contains(s.read[channel].String(), text) {
		var message []byte
		if err := websocket.Message.Receive(s.ws, &message); err != nil {
			s.t.Fatalf("no %q on channel %d: %v; read: %q", text, channel, err, s.all())
		}
		if len(message) > 1 && int(message[0]) < len(s.read) {
			s.read[message[0]].Write(message[1:])
		}
	}
}

func (s *stream) all() (texts []string) {
	for i := range s.read {
		texts = append(texts, s.read[i].String())
	}
	return texts
}

// testCRIExec: programs in containers that run, as probes and debuggers start them.
func testCRIExec(t *testing.T, c *cri) {
	p := c.pod(t, "exec")
	id := p.start(t, "exec")
	t.Run("sync", func(t *testing.T) {
		done, err := c.ExecSync(c.time(t), &pb.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
		if err != nil {
			t.Fatal(err)
		}
		if string(done.Stdout) != "out\n" || string(done.Stderr) != "err\n" || done.ExitCode != 3 {
			t.Errorf("got %v", done)
		}
	})
	t.Run("missing program", func(t *testing.T) {
		_, err := c.ExecSync(c.time(t), &pb.ExecSyncRequest{ContainerId: id, Cmd: []string{"nosuch"}})
		if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
			t.Errorf("exec: %v", err)
		}
	})
	t.Run("time limit", func(t *testing.T) {
		_, err := c.ExecSync(c.time(t), &pb.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "1234"}, Timeout: 1})
		if err == nil || !strings.Contains(err.Error(), "timeout 1s exceeded") {
			t.Errorf("exec: %v", err)
		}
		eventually(t, "the program is ended", func() bool { return c.exec(t, id, "ps | grep -c '[s]leep 1234'; true") == "0" })
	})
	t.Run("what it leaves behind", func(t *testing.T) {
		c.exec(t, id, "sleep 1235 >/dev/null 2>&1 & echo started")
		equal(t, "processes", c.exec(t, id, "ps | grep -c '[s]leep 1235'"), "1")
	})
}

// testCRIStreams: exec, attach and port forwarding with streams.
func testCRIStreams(t *testing.T, c *cri) {
	p := c.pod(t, "streams")
	id := p.start(t, "streams", func(config *pb.ContainerConfig) {
		config.Command = []string{"sh", "-c", "mkdir /tmp/web; echo page > /tmp/web/index.html; httpd -h /tmp/web -p 80; while read line; do echo got $line; done; exec pause"}
		config.Stdin = true
	})
	t.Run("exec", func(t *testing.T) {
		got, err := c.Exec(c.time(t), &pb.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo begun >&2; read line; echo read $line; exit 6"}, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		s := dial(t, got.Url, "")
		s.until(stderrChannel, "begun\n")
		s.send(stdinChannel, "words\n")
		s.until(stdoutChannel, "read words\n")
		s.until(errorChannel, `"ExitCode","message":"6"`)
	})
	t.Run("exec with a terminal", func(t *testing.T) {
		got, err := c.Exec(c.time(t), &pb.ExecRequest{
			ContainerId: id, Cmd: []string{"sh", "-c", "tty; until [ \"$(stty size 2>/dev/null)\" = '33 77' ]; do sleep 0.1; done; echo resized; read line; echo read $line"},
			Stdin: true, Stdout: true, Tty: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := dial(t, got.Url, "")
		s.until(stdoutChannel, "/dev/pts/")
		s.send(resizeChannel, `{"Width":77,"Height":33}`)
		s.until(stdoutChannel, "resized\r\n")
		s.send(stdinChannel, "words\n")
		s.until(stdoutChannel, "read words\r\n")
		s.until(errorChannel, `"status":"Success"`)
	})
	t.Run("attach", func(t *testing.T) {
		got, err := c.Attach(c.time(t), &pb.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		s := dial(t, got.Url, "")
		s.send(stdinChannel, "this\n")
		s.until(stdoutChannel, "got this\n")
		s.send(stdinChannel, "that\n")
		s.until(stdoutChannel, "got that\n")
	})
	t.Run("port forwarding", func(t *testing.T) {
		got, err := c.PortForward(c.time(t), &pb.PortForwardRequest{PodSandboxId: p.id, Port: []int32{80}})
		if err != nil {
			t.Fatal(err)
		}
		const data = 0 // of the first port; its errors are on channel 1
		s := dial(t, got.Url, "?port=80")
		s.send(data, "GET / HTTP/1.0\r\n\r\n")
		s.until(data, "\r\n\r\npage\n")
	})
}
