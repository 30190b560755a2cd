#!/bin/sh
# Checks a program of a documentation page, word for word, and runs it in a folder: block.sh PROGRAM.go FOLDER
#
# The program is built inside the runner's module, so it has the runner's versions and needs no network.
set -eu
export CGO_ENABLED=0
program=$(realpath "$1")
folder=$(realpath "$2")
cd "$(dirname "$0")"
mkdir -p out
work=$(mktemp -d "$PWD/out/block-XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$program" "$work/main.go"
test -z "$(gofmt -l "$work")" || { gofmt -d "$work" >&2; exit 1; }
go vet "$work"
go build -o "$work/program" "$work"
cd "$folder"
"$work/program"
