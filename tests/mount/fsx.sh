#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# 20,000 random operations on a file against a copy in memory, with remounts between them.
. "$WORK/tests/lib/common.sh"

new_volume
cat >remount <<REMOUNT
set -e
hsmsetup close "$MNT"
hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
REMOUNT
nr=7000
[ -z "$SANITIZED" ] || nr=1500
for seed in 1 2 "$RANDOM"; do
	echo "seed $seed"
	fsx "$MNT/file-$seed" "$seed" $nr "sh $T/remount"
done
# Two at once share the ring and the page cache.
fsx "$MNT/one" 11 $nr &
fsx "$MNT/two" 12 $nr
wait $!
