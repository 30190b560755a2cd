#!/bin/sh
# Checks a program of a documentation page, word for word, and runs it in a folder: block.sh PROGRAM.rs FOLDER
#
# The program is a package with the dependencies that the page names, in the runner's versions. It shares what cargo
# has built for the runner, so it needs no network and few seconds.
set -eu
program=$(realpath "$1")
folder=$(realpath "$2")
cd "$(dirname "$0")"
block=target/block
mkdir -p $block/src
cp "$program" $block/src/main.rs
cp Cargo.lock $block
cat > $block/Cargo.toml <<'EOF'
[package]
name = "block"
edition = "2024"

[dependencies]
celeste-image = { path = "../../../../../clients/rust" }
tokio = { version = "1", features = ["macros", "rt"] }
tonic = { version = "0.14", default-features = false, features = ["tls-ring"] }

[lints.rust]
warnings = "deny"

[profile.dev]
debug = false

[workspace]
EOF
cargo fmt --check --manifest-path $block/Cargo.toml
cargo build --quiet --offline --manifest-path $block/Cargo.toml --target-dir target
cd "$folder"
"$OLDPWD/target/debug/block"
