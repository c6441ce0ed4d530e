#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# Thousands of files, each damaged in one way: never wrong data, and what is not damaged
# is still read. tests/tools/tamper.c says which ways.
. "$WORK/tests/lib/common.sh"

nr=2000
[ -z "$SANITIZED" ] || nr=300
new_volume
tamper make "$MNT" $nr
close_volume
cp -a "$ENC" pristine
for seed in 1 "$RANDOM"; do
	echo "seed $seed"
	tamper damage "$ENC" log "$seed"
	open_volume
	tamper check "$MNT" $nr log
	close_volume
	rm -rf "$ENC"
	cp -a pristine "$ENC"
done
# Undamaged, all of it is right.
open_volume
: >log
tamper check "$MNT" $nr log
