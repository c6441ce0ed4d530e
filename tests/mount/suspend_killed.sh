#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# hsmd dies while a suspend makes the kernel write what is dirty: the volume can be resumed.
. "$WORK/tests/lib/common.sh"

new_volume
for round in 1 2 3 4 5 6; do
	fsx -s "$round" -n 100000 -p 4 -r 1 "$MNT" >fsx.out &
	load=$!
	until [ -s "$MNT/pages" ]; do sleep 0.01; done
	sleep 0.2
	hsmsetup luksSuspend "$MNT" >/dev/null 2>&1 &
	suspend=$!
	[ $((round % 2)) -eq 0 ] || sleep 0.01
	kill_all hsmd
	wait $suspend || true
	timeout 60 hsmsetup luksResume --key-file "$KEY" "$MNT" || die "round $round: resume"
	kill $load
	wait $load || true
	pkill -KILL -P "$PPID,$$" -x fsx || true # its workers
	while pgrep -P "$PPID,$$" -x fsx >/dev/null; do sleep 0.05; done
	rm -f "$MNT"/*
done
cold_reopen
