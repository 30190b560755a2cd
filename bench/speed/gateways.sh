#!/usr/bin/env bash
# Builds the compiled gateways that the benches compare with, each in a folder of its own. What can't be built is noted
# in the folder's file `absent`, which the results quote. `make gateways` runs this.
set -uo pipefail
cd "$(dirname "$0")/../.."

BIFROST=1.5.3
LITELLM_RS=0.9.0

absent() { # FOLDER REASON
	echo "$2" > "$1/absent"
	echo "$1: $2" >&2
}

bifrost() {
	local folder=$PWD/.venv-bifrost source
	mkdir -p "$folder/bin"
	command -v go > /dev/null || { absent "$folder" "Go is not installed"; return; }
	if ! source=$(cd "$folder" && GOFLAGS=-mod=mod go mod download -json "github.com/maximhq/bifrost/transports@v$BIFROST" |
		sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') || [ ! -d "$source" ]; then
		absent "$folder" "its Go module transports v$BIFROST can't be fetched"
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
	if cargo install litellm-rs --version "$LITELLM_RS" --locked --bin gateway --features sqlite --root "$folder" --target-dir "$folder/target" \
		2> "$folder/build.log"; then
		rm -f "$folder/absent"
		echo "$LITELLM_RS" > "$folder/version"
	else
		absent "$folder" "$LITELLM_RS does not build: $(grep -m 1 '^error' "$folder/build.log" || tail -n 1 "$folder/build.log")"
	fi
}

[ -x .venv-bifrost/bin/bifrost-http ] || bifrost
[ -x .venv-litellm-rs/bin/gateway ] || litellm_rs
