#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# Either AEAD engine and either compiler's programs read and extend each other's volumes.
. "$WORK/tests/lib/common.sh"

[ -d "$WORK/other" ] || skip "built with one compiler only"
standard=$PATH
engines=(openssl)
[ "$(uname -m)" != x86_64 ] || engines+=(ipsec-mb)

# begin BIN ENGINE: programs of one build with an hsmd of that engine.
begin() {
	PATH=$WORK/$1:$standard
	rm -f "$HSMFS_RUNTIME_DIR/hsmd.sock"
	"$WORK/$1/hsmd" --engine "$2" </dev/null >hsmd.log 2>&1 &
	local tries=100
	while [ ! -S "$HSMFS_RUNTIME_DIR/hsmd.sock" ] && [ $((tries--)) -gt 0 ]; do
		sleep 0.1
	done
	open_volume
	same "engine of $1" "$(hsmsetup status --json "$MNT" | jq -r .engine)" "$2"
}
end() {
	close_volume
	kill_all hsmd TERM
}

format_volume
kill_all hsmd TERM
combinations=()
for bin in bin other; do
	for engine in "${engines[@]}"; do
		combinations+=("$bin $engine")
	done
done
for round in 1 2; do
	for c in "${combinations[@]}"; do
		# shellcheck disable=SC2086 # two words
		begin $c
		for d in "$MNT"/by-*; do
			[ -d "$d" ] || continue
			diff -r "$WORK/tests" "$d/tests"
			cmp "$d/odd" <(random_bytes $((100000 * $(cat "$d/count"))) x)
			cat "$d/$(printf '%0200d' 5)" "$d/link" >/dev/null
			# And goes on writing where the other has ended.
			echo $(($(cat "$d/count") + 1)) >"$d/count"
			random_bytes $((100000 * $(cat "$d/count"))) x | tail -c 100000 >>"$d/odd"
		done
		d="$MNT/by-${c/ /-}-$round"
		mkdir "$d"
		cp -r "$WORK/tests" "$d/tests"
		random_bytes 100000 x >"$d/odd"
		echo 1 >"$d/count"
		echo text >"$d/$(printf '%0200d' 5)"
		ln -s odd "$d/link"
		end
	done
done
