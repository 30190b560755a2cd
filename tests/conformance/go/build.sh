#!/bin/sh
# Checks and builds the runner.
set -eu
cd "$(dirname "$0")"
go vet .
go test .
go build -o out/runner .
