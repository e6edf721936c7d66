// Orlop is an OCI container runtime: it makes, runs, enters and removes containers as the OCI runtime specification
// describes them.
package main

import (
	_ "embed"
	"os"
	"strings"

	"github.com/orlop/orlop/cli"
)

//go:embed VERSION
var version string

func main() {
	os.Exit(cli.Main(strings.TrimSpace(version), os.Args, os.Stdin, os.Stdout, os.Stderr))
}
