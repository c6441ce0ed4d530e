#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 120
# Sizes near 2^63: refused with a clear error, and the volume goes on.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir "$ENC"
mount -t tmpfs tmpfs "$ENC" # which knows such sizes
trap 'umount -l "$ENC"' EXIT
new_volume

printf kept >"$MNT/file"
sync "$MNT/file"
max=$(((2 ** 51 - 1 - 260) * 4064)) # the largest size, fs/volume/layout.h
for size in 9223372036854775807 9223372036854771712 $((max + 1)); do
	expect_exit 1 truncate -s $size "$MNT/file"
	grep -q 'File too large' "$T/err" || die "truncate to $size: $(cat "$T/err")"
	expect_exit 1 fallocate -z -o $((size - 10)) -l 10 "$MNT/file"
	grep -q 'File too large' "$T/err" || die "fallocate to $size: $(cat "$T/err")"
	expect_exit 1 dd if="$KEY" of="$MNT/file" bs=10 count=1 oflag=seek_bytes seek=$((size - 10)) conv=notrunc oflag=direct
	grep -q 'File too large' "$T/err" || die "write before $size: $(cat "$T/err")"
	# a buffered write has made the file longer for the kernel, until it is forgotten
	expect_exit 1 dd if="$KEY" of="$MNT/buffered" bs=10 count=1 oflag=seek_bytes seek=$((size - 10)) conv=fsync
	grep -q 'File too large' "$T/err" || die "buffered write before $size: $(cat "$T/err")"
	rm "$MNT/buffered"
done
same "content" "$(cat "$MNT/file")" kept

# The largest there may be.
truncate -s $max "$MNT/file"
same "size" "$(stat -c %s "$MNT/file")" $max
printf end | dd of="$MNT/file" oflag=seek_bytes seek=$((max - 3)) conv=notrunc,fsync 2>/dev/null
same "end" "$(tail -c 3 "$MNT/file")" end
expect_exit 1 dd if="$KEY" of="$MNT/file" bs=10 count=1 oflag=append,direct conv=notrunc
same "beginning" "$(head -c 4 "$MNT/file")" kept
truncate -s 4 "$MNT/file"
same "content" "$(cat "$MNT/file")" kept
sync "$MNT/file"

# A backing file that is longer still.
backing=$(find "$ENC" -path "$ENC/.hsmfs" -prune -o -type f -print)
close_volume
for size in 9223372036854775807 9223372036854771712; do
	truncate -s $size "$backing"
	open_volume
	! cat "$MNT/file" >"$T/out" 2>"$T/err" || die "a file of $size bytes was read"
	grep -q 'File too large\|Input/output' "$T/err"
	! truncate -s 100 "$MNT/file" 2>"$T/err" || die "a file of $size bytes was cut"
	printf other >"$MNT/other"
	same "another file" "$(cat "$MNT/other")" other
	hsmsetup status "$MNT" | grep -q active || die "the volume was suspended"
	close_volume
done
