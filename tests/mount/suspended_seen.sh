#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A suspended volume keeps those waiting who want what is in it, not those who come across
# its mount point: ls -l and find beside it, and stat.
. "$WORK/tests/lib/common.sh"

new_volume
echo content >"$MNT/file"
hsmsetup luksSuspend "$MNT"
for command in "ls -la $T" "ls -ld $MNT" "stat $MNT" "stat -f $MNT" "find $T -maxdepth 1 -ls"; do
	# shellcheck disable=SC2086 # a command
	timeout 60 $command >out 2>/dev/null || die "waits for the key: $command"
	grep -q "$MNT\|mnt" out || die "$command: $(cat out)"
done
hsmsetup luksResume --key-file "$KEY" "$MNT"
same "content" "$(cat "$MNT/file")" content
close_volume
