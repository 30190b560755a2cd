#!/usr/bin/env bash
# Builds the compiled gateways that the benches compare with, each in a folder of its own. What can't be built is noted
# in the folder's file `absent`, which the results quote. `make gateways` runs this. litellm-rs is published with
# link-time optimization in one piece; without it, it builds in a fraction of the time.
set -uo pipefail
cd "$(dirname "$0")/../.."

BIFROST=1.5.3
LITELLM_RS=0.9.0

absent() { # FOLDER REASON
	echo "$2" > "$1/absent"
	echo "$1: $2" >&2
}

bifrost() {
	local folder=$PWD/.venv-bifrost told source
	mkdir -p "$folder/bin"
	command -v go > /dev/null || { absent "$folder" "Go is not installed"; return; }
	told=$(cd "$folder" && GOFLAGS=-mod=mod go mod download -json "github.com/maximhq/bifrost/transports@v$BIFROST")
	source=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<< "$told")
	if [ ! -d "$source" ]; then
		# The reason stands before a line break of the JSON text, after the last address.
		absent "$folder" "the Go proxy did not give its module transports v$BIFROST: $(
			sed -n 's/^\t"Error": ".*\.info: \([^\\"]*\).*/\1/p' <<< "$told")"
		return
	fi
	rm -rf "$folder/source"
	cp -r "$source" "$folder/source" && chmod -R u+w "$folder/source"
	# The module lacks the web pages that the program embeds.
	mkdir -p "$folder/source/bifrost-http/ui" && touch "$folder/source/bifrost-http/ui/index.html"
	if (cd "$folder/source/bifrost-http" && go build -trimpath -ldflags "-s -w" -o "$folder/bin/bifrost-http" .) \
		2> "$folder/build.log"; then
		rm -f "$folder/absent"
		echo "$BIFROST" > "$folder/version"
	else
		absent "$folder" "v$BIFROST does not build: $(tail -n 1 "$folder/build.log")"
	fi
}

litellm_rs() {
	local folder=$PWD/.venv-litellm-rs
	mkdir -p "$folder/bin"
	command -v cargo > /dev/null || { absent "$folder" "Cargo is not installed"; return; }
	if CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install litellm-rs --version "$LITELLM_RS" \
		--locked --bin gateway --features sqlite --root "$folder" --target-dir "$folder/target" 2> "$folder/build.log"; then
		rm -rf "$folder/absent" "$folder/target"
		echo "$LITELLM_RS (without link-time optimization)" > "$folder/version"
	else
		absent "$folder" "$LITELLM_RS does not build: $(grep -m 1 '^error' "$folder/build.log" || tail -n 1 "$folder/build.log")"
	fi
}

[ -x .venv-bifrost/bin/bifrost-http ] || bifrost
[ -x .venv-litellm-rs/bin/gateway ] || litellm_rs
