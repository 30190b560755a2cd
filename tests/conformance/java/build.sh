#!/bin/sh
# Builds clients/java and the runner, and compares the jars with clients/java/jars.sha256. With --lock, writes that file.
set -eu
cd "$(dirname "$0")"
mvn -Dstyle.color=never --quiet --batch-mode --no-transfer-progress --strict-checksums package
lock=$PWD/../../../clients/java/jars.sha256
cd target/lib
jars=$(LC_ALL=C ls | grep -v celeste-image-)
if [ "${1-}" = --lock ]; then
  sha256sum $jars > "$lock"
else
  sha256sum $jars | diff "$lock" - >&2 || { echo 'these jars differ from clients/java/jars.sha256' >&2; exit 1; }
fi
