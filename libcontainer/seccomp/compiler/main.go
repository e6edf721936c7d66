//go:build seccomp && cgo

// Compiler makes the filter program of the seccomp profile (JSON, as linux.seccomp) that it reads from its standard input. It writes "ok" and,
// after a newline, the program; or "error" and what is wrong. With the argument "version" it writes that of its libseccomp.
//
// It is a program of its own, embedded in orlop: see package seccomp.
package main

import (
	"encoding/json"
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
		fmt.Printf("error\n%v\n", err)
		return
	}
	if _, err := os.Stdout.Write(append([]byte("ok\n"), program...)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
