#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# With several workers the pieces of a file are not written before those that come before
# them: else what was written from front to back would count as a file with holes, in which
# pages that somebody replaces by zeros are not noticed.
. "$WORK/tests/lib/common.sh"

# The flags of the file header, of a file that is known by its inode number.
flags() {
	local inode
	inode=$(stat -c %i "$1")
	xxd -s 48 -l 4 -p "$(find "$ENC" -inum "$inode")"
}

random_bytes 12000000 content >a
format_volume
for workers in 2 8; do
	open_volume -o "workers=$workers"
	for i in $(seq 12); do
		cp a "$MNT/$i"
	done
	sync "$MNT"/*
	for i in $(seq 12); do
		same "workers=$workers: flags" "$(flags "$MNT/$i")" 00000000
	done
	printf end | dd of="$MNT/1" bs=1 seek=20000000 conv=notrunc,fsync status=none
	same "flags with a hole" "$(flags "$MNT/1")" 01000000
	cold_reopen
	for i in $(seq 12); do
		cmp -n 12000000 a "$MNT/$i"
	done
	rm "$MNT"/*
	close_volume
done
