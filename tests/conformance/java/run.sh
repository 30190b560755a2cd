#!/bin/sh
# Runs the runner: run.sh PLAN OUTCOMES
set -eu
here=$(dirname "$0")
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$here/target/classes:$here/target/lib/*" \
  io.github.celesteimage.conformance.Runner "$@"
