#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 120
# A full backing store costs what does not fit, and nothing that was there.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir "$ENC"
# use_store MKFS_COMMAND...
use_store() {
	rm -f store
	truncate -s 120M store
	"$@" store
	mount -o loop store "$ENC" || skip "cannot mount a loop device here"
	rm -rf "$ENC/lost+found"
}
trap 'umount -l "$ENC"' EXIT
use_store mkfs.ext4 -q -F -b 4096 -I 256 -O ^has_journal -m 0
hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
mkdir "$ENC/within"
open_volume

printf 'acknowledged line\n' >"$MNT/log"
random_bytes 100000 kept >"$MNT/kept"
sync "$MNT/log" "$MNT/kept"
dd if=/dev/zero of="$MNT/filler" bs=1M count=120 conv=fsync 2>/dev/null || true
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
# No other volume fits, and that is what is said.
expect_exit 1 hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC/within"
expect_sentence 'No space left'
same "what is left of it" "$(ls -A "$ENC/within")" ""
rmdir "$ENC/within"
open_volume
same "the line" "$(head -c 18 "$MNT/log")" 'acknowledged line'
cat "$MNT/log" >/dev/null
random_bytes 100000 kept | cmp - "$MNT/kept"
rm "$MNT/filler" "$MNT/filler2"
echo more >>"$MNT/kept"
close_volume

# A store that copies on write needs room even to overwrite: the header keeps some.
if ! grep -qw btrfs /proc/filesystems; then
	echo "no btrfs here"
	exit 0
fi
umount "$ENC"
use_store mkfs.btrfs -q -f -m single >/dev/null 2>&1
new_volume
random_bytes 100000 kept >"$MNT/kept"
sync "$MNT/kept"
# What is not an entry of ours does not appear.
dd if=/dev/zero of="$ENC/filler" bs=1M count=120 conv=fsync 2>/dev/null || true
for i in {1..400}; do
	dd if=/dev/zero of="$ENC/filler-$i" bs=4000 count=1 conv=fsync 2>/dev/null || break
done
close_volume
for _ in 1 2 3; do
	open_volume
	random_bytes 100000 kept | cmp - "$MNT/kept"
	close_volume
done
open_volume
rm "$ENC"/filler*
sync -f "$ENC"
echo more >>"$MNT/kept"
sync "$MNT/kept"
close_volume
