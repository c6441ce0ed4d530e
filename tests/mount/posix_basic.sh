#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# tests/tools/posix.c within the mount, in the root and deeper; then nothing is left.
. "$WORK/tests/lib/common.sh"

new_volume
posix "$MNT"
mkdir -p "$MNT/a/b/c"
posix "$MNT/a/b/c"
rm -r "$MNT/a"
same "left over" "$(ls -A "$MNT")" ""
cold_reopen
same "left over" "$(ls -A "$MNT")" ""
close_volume
same "left in the volume" "$(find "$ENC" -mindepth 1 -maxdepth 1 ! -name '.hsmfs*')" ""

# Every 255-byte name, of bytes of any kind, comes back in a listing.
open_volume
for i in $(seq 50); do
	printf -v long 'x%0254d' "$i"
	printf -v odd '%s-\303\244-\001-%s' "$(printf 'y%.0s' {1..200})" "$i"
	echo "$i" >"$MNT/$long"
	echo "$i" >"$MNT/$odd"
done
# shellcheck disable=SC2012 # odd names on purpose
before=$(ls -b "$MNT" | sha256sum)
cold_reopen
# shellcheck disable=SC2012
same "names after a remount" "$(ls -b "$MNT" | sha256sum)" "$before"
same "their content" "$(cat "$MNT"/* | sort -n | uniq -c | awk '$1 != 2' | wc -l)" 0
find "$MNT" -mindepth 1 -delete
close_volume
same "left in the volume" "$(find "$ENC" -mindepth 1 -maxdepth 1 ! -name '.hsmfs*')" ""
