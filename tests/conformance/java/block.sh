#!/bin/sh
# Runs a program of a documentation page, word for word, in a folder: block.sh PROGRAM.java FOLDER
set -eu
library=$(realpath "$(dirname "$0")/target/lib")
program=$(realpath "$1")
cd "$2"
exec java -cp "$library/*" "$program"
