#!/bin/sh
# Checks and builds the runner.
set -eu
export CGO_ENABLED=0
cd "$(dirname "$0")"
go vet .
go test .
go build -o out/runner .
