#!/bin/sh
# Checks and builds clients/rust and the runner.
set -eu
cd "$(dirname "$0")"
cargo fmt --check
cargo build --quiet --locked
cargo test --quiet --locked
