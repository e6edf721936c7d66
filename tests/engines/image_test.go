package engines

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// image is the name of the tests' image, for all engines. It holds busybox, made here: nothing is pulled.
const image = "localhost/busybox:latest"

// pauses are the names under which versions of containerd look for the image of a pod's first container.
func pauses() []string {
	return []string{
		"registry.k8s.io/pause:3.6", "registry.k8s.io/pause:3.8", "registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10",
		"registry.k8s.io/pause:3.10.1", "k8s.gcr.io/pause:3.6",
	}
}

// rootfs writes the image's files as a tar file below the stage, once, and returns its path.
func (s *stage) rootfs(t *testing.T) string {
	t.Helper()
	path := filepath.Join(s.dir, "rootfs.tar")
	if exists(path) {
		return path
	}
	if err := os.WriteFile(path, s.layer(t), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// layer returns the image's files as a tar file.
func (s *stage) layer(t *testing.T) []byte {
	t.Helper()
	binary, err := os.ReadFile(s.busybox)
	if err != nil {
		t.Fatal(err)
	}
	applets := output(t, s.busybox, "--list")
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	add := func(h tar.Header, content []byte) {
		t.Helper()
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "etc", "root", "proc", "sys", "dev", "home", "home/bob", "var", "run", "data"} {
		add(tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	add(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, binary)
	for _, applet := range strings.Fields(applets) {
		if applet != "busybox" {
			add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	add(tar.Header{Name: "bin/pause", Typeflag: tar.TypeReg, Mode: 0o755},
		[]byte("#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 1000 & wait $!; done\n"))
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644},
		[]byte("root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"))
	add(tar.Header{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644},
		[]byte("root:x:0:\nbob:x:1000:\nfriends:x:2000:bob\nnogroup:x:65534:\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// layout writes the image as a tar file of an OCI image layout, under all of the given names, and returns its path.
func (s *stage) layout(t *testing.T, names ...string) string {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	write := func(name string, content []byte) {
		t.Helper()
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	type descriptor map[string]any
	blob := func(mediaType string, content []byte) descriptor {
		t.Helper()
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		write("blobs/sha256/"+sum, content)
		return descriptor{"mediaType": "application/vnd.oci.image." + mediaType, "digest": "sha256:" + sum, "size": len(content)}
	}
	encode := func(v any) []byte {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	layer := blob("layer.v1.tar", s.layer(t))
	config := blob("config.v1+json", encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"/bin/pause"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layer["digest"]}},
	}))
	manifest := blob("manifest.v1+json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []descriptor{layer},
	}))
	var manifests []descriptor
	for _, name := range names {
		manifests = append(manifests, descriptor{
			"mediaType": manifest["mediaType"], "digest": manifest["digest"], "size": manifest["size"],
			"annotations": map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
		})
	}
	write("index.json", encode(map[string]any{"schemaVersion": 2, "manifests": manifests}))
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "layout.tar")
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
