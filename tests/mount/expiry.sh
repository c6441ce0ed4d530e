#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 90
# Handles that died of disuse are renewed, however many operations meet that at once.
. "$WORK/tests/lib/common.sh"

format_volume
kill_all hsmd
hsmd --handle-lifetime 1 2>/dev/null &
for _ in $(seq 50); do
	[ ! -S "$HSMFS_RUNTIME_DIR/hsmd.sock" ] || break
	sleep 0.1
done
open_volume
random_bytes 4000000 expiry >plain
cp plain "$MNT/file"
for _ in 1 2 3; do
	sleep 1.5
	pids=
	for i in 1 2 3 4 5 6 7 8; do
		timeout 10 dd if="$MNT/file" iflag=direct bs=64k skip=$((i * 4)) count=4 2>/dev/null |
			cmp -s - <(tail -c +$((i * 4 * 65536 + 1)) plain | head -c 262144) &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || die "a read after the handle's lifetime failed"
	done
done
same state "$(hsmsetup status --json "$MNT" | jq -r .state)" active
close_volume
kill_all hsmd TERM
