#!/bin/sh
# Builds the package clients/typescript and both runners. Installs packages only if their lock file changed.
set -eu
cd "$(dirname "$0")"
package=../../../clients/typescript

install() {
  cmp -s "$1/package-lock.json" "$1/node_modules/.installed" && return
  (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json node_modules/.installed)
}

install $package
npm --prefix $package run --silent build
install .
# npm copied the package when it installed the runners; this is the package of now.
copy=node_modules/@celeste-image/client
rm -rf $copy && mkdir -p $copy && cp -r $package/package.json $package/dist $copy
npm run --silent build
