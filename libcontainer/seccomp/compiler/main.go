//go:build seccomp && cgo

// Compiler compiles the seccomp profile (JSON, as linux.seccomp) on its standard input. It writes
// "ok" and, after a newline, the program; or "error", the path of the invalid field, and the
// problem, each on a line. With the argument "version" it writes that of its libseccomp.
//
// It is a separate program, embedded in orlop: see package seccomp.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/seccomp"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(seccomp.Version())
		return
	}
	var profile specs.LinuxSeccomp
	err := json.NewDecoder(os.Stdin).Decode(&profile)
	var program []byte
	if err == nil {
		program, err = seccomp.Compile(&profile)
	}
	if err != nil {
		e := &seccomp.Error{Path: "linux.seccomp", Err: err}
		errors.As(err, &e)
		fmt.Printf("error\n%s\n%v\n", e.Path, e.Err)
		return
	}
	if _, err := os.Stdout.Write(append([]byte("ok\n"), program...)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
