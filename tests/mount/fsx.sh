#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# 40,000 random operations of eight processes, compared with copies in memory, with remounts
# between them and suspends in the middle; tests/tools/fsx.c says what they do. Once as mounts
# are by default, and with what may be asked of caches and workers. LONG=250 makes it ten million.
. "$WORK/tests/lib/common.sh"

new_volume
cat >remount <<REMOUNT
set -e
hsmsetup close "$MNT"
hsmsetup open --key-file "$KEY" -o "\$(cat "$T/options")" "$ENC" "$MNT"
REMOUNT
cat >suspend <<SUSPEND
set -e
hsmsetup luksSuspend "$MNT"
hsmsetup luksResume --key-file "$KEY" "$MNT"
SUSPEND
nr=10000
[ -z "$SANITIZED" ] || nr=2000
seed=0
for options in rw workers=8 direct_io,workers=4 cache=writethrough,poll=off; do
	echo "$options" >options
	sh remount
	seed=$((seed + 1))
	mkdir "$MNT/$seed"
	case $options in direct_io*) direct=-d ;; *) direct='' ;; esac
	# shellcheck disable=SC2086 # nothing, or an option
	fsx $direct -s "$seed" -n $((nr * LONG)) -r $((3 * LONG)) -m "sh $T/remount" -u "sh $T/suspend" "$MNT/$seed"
done
close_volume
