#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 120
# A full backing store costs what does not fit, and nothing that was there.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir "$ENC"
truncate -s 16M store
mkfs.ext4 -q -F -b 4096 -I 256 -O ^has_journal -m 0 store
mount -o loop store "$ENC" || skip "cannot mount a loop device here"
trap 'umount -l "$ENC"' EXIT
rm -rf "$ENC/lost+found"
hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
open_volume

printf 'acknowledged line\n' >"$MNT/log"
random_bytes 100000 kept >"$MNT/kept"
sync "$MNT/log" "$MNT/kept"
dd if=/dev/zero of="$MNT/filler" bs=1M count=20 conv=fsync 2>/dev/null || true
dd if=/dev/zero of="$MNT/filler2" bs=4096 count=300 oflag=sync 2>/dev/null || true
for bytes in 8192 1000000; do
	if head -c $bytes /dev/zero 2>/dev/null | dd of="$MNT/log" oflag=append conv=notrunc,fsync bs=$bytes 2>err; then
		die "an append of $bytes bytes to a full store succeeded"
	fi
	grep -q 'No space left' err || die "not ENOSPC: $(cat err)"
done
same "the line" "$(head -n 1 "$MNT/log" | tr -d '\0')" 'acknowledged line'

# It can be closed, opened and emptied although it is full.
close_volume
open_volume
same "the line" "$(head -c 18 "$MNT/log")" 'acknowledged line'
cat "$MNT/log" >/dev/null
random_bytes 100000 kept | cmp - "$MNT/kept"
rm "$MNT/filler" "$MNT/filler2"
echo more >>"$MNT/kept"
close_volume
