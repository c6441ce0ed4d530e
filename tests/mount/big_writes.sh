#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The largest writes there are, at every kind of place: they touch as many pages as the HSM
# takes at a time, and the one before them, which was the last, as well.
. "$WORK/tests/lib/common.sh"

new_volume
random_bytes 1048576 content >a
for size in 4032 4000 8096 0; do
	random_bytes "$size" seed >old
	for behind in 0 1 32 3999 4000 4001 4032 4063 4064 8065 8127; do
		at=$((size + behind))
		cp old want
		dd if=a of=want bs=1M oflag=seek_bytes seek="$at" conv=notrunc status=none
		cp old "$MNT/file"
		sync "$MNT/file"
		timeout 30 dd if=a of="$MNT/file" bs=1M oflag=direct,seek_bytes seek="$at" \
			conv=notrunc status=none
		cmp want "$MNT/file"
		cp "$MNT/file" "$MNT/$size-$behind"
		mv want "want-$size-$behind"
	done
done
cold_reopen
for want in want-*; do
	cmp "$want" "$MNT/${want#want-}"
done
close_volume
