package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// privateDev covers the host's device files with new ones. The suite opens standard streams as
// /dev/null, and runtimes give these to the container's user, who would then own the host's
// /dev/null for good.
func privateDev() error {
	const dir = "/run/dev"
	if err := mountNew("tmpfs", dir, "mode=755"); err != nil {
		return err
	}
	syscall.Umask(0)
	for name, minor := range map[string]int{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := makeDevice(filepath.Join(dir, name), 1, minor); err != nil {
			return err
		}
	}
	if err := makeDevice(filepath.Join(dir, "tty"), 5, 0); err != nil {
		return err
	}
	syscall.Umask(0o022)
	if err := mountNew("devpts", dir+"/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return err
	}
	if err := mountNew("tmpfs", dir+"/shm", "mode=1777"); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := syscall.Mount(dir, "/dev", "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	return nil
}

// makeDevice makes a character device that all may use; its numbers are small.
func makeDevice(path string, major, minor int) error {
	if err := syscall.Mknod(path, syscall.S_IFCHR|0o666, major<<8|minor); err != nil {
		return &os.PathError{Op: "mknod", Path: path, Err: err}
	}
	return nil
}

// mountNew mounts a new filesystem on a new directory.
func mountNew(kind, dir, options string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(kind, dir, kind, 0, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, dir, err)
	}
	return nil
}
