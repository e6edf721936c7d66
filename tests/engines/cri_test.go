package engines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// cri is a client of the service by which a kubelet has pods made.
type cri struct {
	pb.RuntimeServiceClient
	s       *stage
	handler string // by which contrib's configuration calls the runtime
	version string // containerd's
}

// pod is a pod that was run.
type pod struct {
	c      *cri
	id     string
	config *pb.PodSandboxConfig
}

// network is the pods' network.
const network = `{"cniVersion": "0.4.0", "name": "engines", "plugins": [
	{"type": "bridge", "bridge": "cni-engines", "isGateway": true,
	 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	{"type": "portmap", "capabilities": {"portMappings": true}}]}`

// withCRI starts containerd with a network for pods, and the images.
func withCRI(t *testing.T) (*cri, *daemon) {
	t.Helper()
	s := onStage(t)
	watchLeaks(t, s)
	if err := os.MkdirAll("/etc/cni/net.d", 0o755); err != nil {
		t.Fatal(err)
	}
	const file = "/etc/cni/net.d/10-engines.conflist"
	if err := os.WriteFile(file, []byte(network), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.Remove(file) // Podman would take it for a network of its own
		(&client{}).do(t, "ip", "link", "delete", "cni-engines")
	})
	d := serve(t, s, "containerd")
	connection, err := grpc.NewClient("unix:///run/containerd/containerd.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	c := &cri{RuntimeServiceClient: pb.NewRuntimeServiceClient(connection), s: s, handler: "orlop-cgroupfs"}
	if s.systemd {
		c.handler = "orlop"
	}
	importer := &client{argv: []string{"ctr", "--namespace", "k8s.io"}}
	importer.ok(t, "image", "import", s.layout(t, append(pauses(), image)...))
	images := pb.NewImageServiceClient(connection)
	eventually(t, "the image is known to the service", func() bool {
		status, err := images.ImageStatus(c.time(t), &pb.ImageStatusRequest{Image: &pb.ImageSpec{Image: image}})
		return err == nil && status.Image != nil
	})
	version, err := c.Version(c.time(t), &pb.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	c.version = strings.TrimPrefix(version.RuntimeVersion, "v")
	return c, d
}

// time limits a call.
func (c *cri) time(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit())
	t.Cleanup(cancel)
	return ctx
}

// pod runs a pod, and removes it when the test ends.
func (c *cri) pod(t *testing.T, name string, changes ...func(*pb.PodSandboxConfig)) *pod {
	t.Helper()
	config := &pb.PodSandboxConfig{
		Metadata:     &pb.PodSandboxMetadata{Name: name, Uid: name, Namespace: "engines"},
		Hostname:     name,
		LogDirectory: filepath.Join(c.s.dir, "logs", name),
		Labels:       map[string]string{"pod": name},
		Linux: &pb.LinuxPodSandboxConfig{
			CgroupParent:    "/" + strings.TrimPrefix(c.s.parent, "/"), // a path, also for a slice
			SecurityContext: &pb.LinuxSandboxSecurityContext{NamespaceOptions: &pb.NamespaceOption{Pid: pb.NamespaceMode_CONTAINER}},
		},
	}
	for _, change := range changes {
		change(config)
	}
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := c.RunPodSandbox(c.time(t), &pb.RunPodSandboxRequest{Config: config, RuntimeHandler: c.handler})
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{c, made.PodSandboxId, config}
	t.Cleanup(func() { p.remove(t) })
	return p
}

// remove stops and removes a pod with its containers.
func (p *pod) remove(t *testing.T) {
	t.Helper()
	if _, err := p.c.StopPodSandbox(p.c.time(t), &pb.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Error(err)
	}
	if _, err := p.c.RemovePodSandbox(p.c.time(t), &pb.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Error(err)
	}
}

// create creates a container in a pod: one that waits for a signal, unless that is changed.
func (p *pod) create(t *testing.T, name string, changes ...func(*pb.ContainerConfig)) string {
	t.Helper()
	id, err := p.tryCreate(t, name, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *pod) tryCreate(t *testing.T, name string, changes ...func(*pb.ContainerConfig)) (string, error) {
	t.Helper()
	config := &pb.ContainerConfig{
		Metadata: &pb.ContainerMetadata{Name: name},
		Image:    &pb.ImageSpec{Image: image},
		Command:  []string{"/bin/pause"},
		LogPath:  name + ".log",
		Linux: &pb.LinuxContainerConfig{SecurityContext: &pb.LinuxContainerSecurityContext{
			NamespaceOptions: &pb.NamespaceOption{Pid: pb.NamespaceMode_CONTAINER},
		}},
	}
	for _, change := range changes {
		change(config)
	}
	made, err := p.c.CreateContainer(p.c.time(t), &pb.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		return "", err
	}
	return made.ContainerId, nil
}

// start creates and starts a container.
func (p *pod) start(t *testing.T, name string, changes ...func(*pb.ContainerConfig)) string {
	t.Helper()
	id := p.create(t, name, changes...)
	if _, err := p.c.StartContainer(p.c.time(t), &pb.StartContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	return id
}

// script makes a container run a shell script.
func script(text string) func(*pb.ContainerConfig) {
	return func(config *pb.ContainerConfig) { config.Command = []string{"sh", "-c", text} }
}

// exec runs a script in a container, and returns its output without space around; it must end with status 0.
func (c *cri) exec(t *testing.T, id, text string) string {
	t.Helper()
	done, err := c.ExecSync(c.time(t), &pb.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", text}, Timeout: int64(limit() / time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if done.ExitCode != 0 {
		t.Fatalf("exec %s: status %d: %s%s", text, done.ExitCode, done.Stdout, done.Stderr)
	}
	return strings.TrimSpace(string(done.Stdout))
}

// status returns a container's status.
func (c *cri) status(t *testing.T, id string) *pb.ContainerStatus {
	t.Helper()
	got, err := c.ContainerStatus(c.time(t), &pb.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status
}

// ended waits for a container's end and returns its status.
func (c *cri) ended(t *testing.T, id string) *pb.ContainerStatus {
	t.Helper()
	eventually(t, "the container ends", func() bool { return c.status(t, id).State == pb.ContainerState_CONTAINER_EXITED })
	return c.status(t, id)
}

// log returns the lines of a container's log, each "STREAM TEXT".
func (p *pod) log(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.config.LogDirectory, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 4) // time, stream, F, text
		if len(fields) != 4 || fields[2] != "F" {
			t.Fatalf("log: %q", line)
		}
		lines = append(lines, fields[1]+" "+fields[3])
	}
	return lines
}

// TestCRI: pods and containers as a kubelet asks for them.
func TestCRI(t *testing.T) {
	c, d := withCRI(t)
	t.Run("status", func(t *testing.T) {
		eventually(t, "runtime and network are ready", func() bool {
			status, err := c.Status(c.time(t), &pb.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			ready := 0
			for _, condition := range status.Status.Conditions {
				if condition.Status {
					ready++
				}
			}
			return ready >= 2
		})
	})
	t.Run("pod", func(t *testing.T) { testCRIPod(t, c) })
	t.Run("container", func(t *testing.T) { testCRIContainer(t, c) })
	t.Run("exec", func(t *testing.T) { testCRIExec(t, c) })
	t.Run("streams", func(t *testing.T) { testCRIStreams(t, c) })
	t.Run("resources", func(t *testing.T) { testCRIResources(t, c) })
	t.Run("mounts", func(t *testing.T) { testCRIMounts(t, c) })
	t.Run("security", func(t *testing.T) { testCRISecurity(t, c) })
	t.Run("namespaces", func(t *testing.T) { testCRINamespaces(t, c) })
	t.Run("pods survive containerd", func(t *testing.T) {
		p := c.pod(t, "survivor")
		stays, ends := p.start(t, "stays"), p.start(t, "ends", script("until [ -e /tmp/end ]; do sleep 0.1; done; exit 4"))
		d.stop(unix.SIGKILL)
		d.start()
		eventually(t, "the service answers", func() bool {
			_, err := c.Status(c.time(t), &pb.StatusRequest{})
			return err == nil
		})
		equal(t, "exec", c.exec(t, stays, "echo here"), "here")
		c.exec(t, ends, "(sleep 1; touch /tmp/end) >/dev/null 2>&1 &") // the program that is executed ends before its container
		equal(t, "exit code", fmt.Sprint(c.ended(t, ends).ExitCode), "4")
	})
}

// testCRIPod: a pod's own properties.
func testCRIPod(t *testing.T, c *cri) {
	p := c.pod(t, "pod", func(config *pb.PodSandboxConfig) {
		config.DnsConfig = &pb.DNSConfig{Servers: []string{"10.9.8.7"}, Searches: []string{"here.example"}}
		config.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "99", "kernel.shm_rmid_forced": "1"}
		config.PortMappings = []*pb.PortMapping{{ContainerPort: 80, HostPort: 8124, HostIp: "127.0.0.1"}}
	})
	status, err := c.PodSandboxStatus(c.time(t), &pb.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", status.Status.State.String(), "SANDBOX_READY")
	equal(t, "handler", status.Status.RuntimeHandler, c.handler)
	if !strings.HasPrefix(status.Status.Network.Ip, "10.77.") {
		t.Errorf("address %q", status.Status.Network.Ip)
	}
	id := p.start(t, "web", script("mkdir /tmp/web; echo page > /tmp/web/index.html; exec httpd -f -h /tmp/web -p 80"))
	equal(t, "host name", c.exec(t, id, "hostname"), "pod")
	equal(t, "names", c.exec(t, id, "cat /etc/resolv.conf"), "search here.example\nnameserver 10.9.8.7")
	equal(t, "sysctls", c.exec(t, id, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"), "99\n1")
	// The mapped port is the host's on which it was asked for; within the host's network the address is the pod's own.
	equal(t, "page", output(t, c.s.busybox, "wget", "-q", "-O", "-", "http://"+status.Status.Network.Ip+"/"), "page")

	other := p.start(t, "other", script("echo $(hostname); ls /sys/class/net; exec pause"))
	equal(t, "another container's network", c.exec(t, other, "wget -q -O - http://127.0.0.1/"), "page")
	list, err := c.ListContainers(c.time(t), &pb.ListContainersRequest{Filter: &pb.ContainerFilter{PodSandboxId: p.id}})
	if err != nil || len(list.Containers) != 2 {
		t.Errorf("containers: %v, %v", list, err)
	}
	if _, err := c.StopPodSandbox(c.time(t), &pb.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Fatal(err)
	}
	equal(t, "container of a stopped pod", c.status(t, id).State.String(), "CONTAINER_EXITED")
}

// testCRIContainer: a container's life.
func testCRIContainer(t *testing.T, c *cri) {
	p := c.pod(t, "life")
	t.Run("status", func(t *testing.T) {
		id := p.create(t, "whole", script("echo out; echo err >&2; exit 3"))
		equal(t, "state", c.status(t, id).State.String(), "CONTAINER_CREATED")
		if _, err := c.StartContainer(c.time(t), &pb.StartContainerRequest{ContainerId: id}); err != nil {
			t.Fatal(err)
		}
		status := c.ended(t, id)
		equal(t, "end", fmt.Sprint(status.ExitCode, " ", status.Reason), "3 Error")
		lines := strings.Join(p.log(t, "whole"), "|")
		if lines != "stdout out|stderr err" && lines != "stderr err|stdout out" {
			t.Errorf("log: %s", lines)
		}
		if _, err := c.RemoveContainer(c.time(t), &pb.RemoveContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
	})
	t.Run("missing program", func(t *testing.T) {
		id := p.create(t, "missing", func(config *pb.ContainerConfig) { config.Command = []string{"nosuch"} })
		_, err := c.StartContainer(c.time(t), &pb.StartContainerRequest{ContainerId: id})
		if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
			t.Errorf("start: %v", err)
		}
		// By this the kubelet tells what went wrong.
		equal(t, "reason", fmt.Sprint(c.status(t, id).ExitCode, " ", c.status(t, id).Reason), "128 StartError")
	})
	t.Run("stop", func(t *testing.T) {
		polite := p.start(t, "polite", script("trap 'exit 5' TERM; while :; do sleep 1000 & wait $!; done"))
		deaf := p.start(t, "deaf", script("trap '' TERM; while :; do sleep 1000; done"))
		for id, timeout := range map[string]int64{polite: 100, deaf: 1} {
			if _, err := c.StopContainer(c.time(t), &pb.StopContainerRequest{ContainerId: id, Timeout: timeout}); err != nil {
				t.Error(err)
			}
		}
		equal(t, "of one that listens", fmt.Sprint(c.status(t, polite).ExitCode), "5")
		equal(t, "of one that doesn't", fmt.Sprint(c.status(t, deaf).ExitCode), "137")
	})
	t.Run("out of memory", func(t *testing.T) {
		id := p.start(t, "hog", script(hog), func(config *pb.ContainerConfig) {
			config.Linux.Resources = &pb.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, MemorySwapLimitInBytes: 16 << 20}
		})
		status := c.ended(t, id)
		equal(t, "end", fmt.Sprint(status.ExitCode, " ", status.Reason), "137 OOMKilled")
	})
	t.Run("log is rotated", func(t *testing.T) {
		id := p.start(t, "writer", script("mkfifo /tmp/line; while :; do read line < /tmp/line && echo $line; done"))
		say := func(text string) {
			c.exec(t, id, "until [ -p /tmp/line ]; do sleep 0.1; done; echo "+text+" > /tmp/line")
		}
		logged := func(text string) {
			t.Helper()
			eventually(t, "the log has "+text, func() bool {
				lines := p.log(t, "writer")
				return len(lines) == 1 && lines[0] == "stdout "+text
			})
		}
		say("first")
		logged("first")
		path := filepath.Join(p.config.LogDirectory, "writer.log")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReopenContainerLog(c.time(t), &pb.ReopenContainerLogRequest{ContainerId: id}); err != nil {
			t.Fatal(err)
		}
		say("second")
		logged("second")
	})
}
