#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# 40,000 random operations of eight processes, compared with copies in memory, with remounts
# between them and suspends in the middle; tests/tools/fsx.c says what they do. LONG=250 makes
# it ten million.
. "$WORK/tests/lib/common.sh"

new_volume
cat >remount <<REMOUNT
set -e
hsmsetup close "$MNT"
hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
REMOUNT
cat >suspend <<SUSPEND
set -e
hsmsetup luksSuspend "$MNT"
hsmsetup luksResume --key-file "$KEY" "$MNT"
SUSPEND
nr=20000
[ -z "$SANITIZED" ] || nr=4000
for seed in 1 "$RANDOM"; do
	mkdir "$MNT/$seed"
	fsx -s "$seed" -n $((nr * LONG)) -r $((4 * LONG)) -m "sh $T/remount" -u "sh $T/suspend" "$MNT/$seed"
done
close_volume
