#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# A user mounts a volume with a file of another's that he may write to. That he may not set its
# times is no reason for truncate(2), fsync(2) and touch(1) to fail: they do not on a plain
# directory.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
as_user() {
	setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}
mkdir "$ENC" "$MNT"
chmod 755 "$T"
chown nobody: "$ENC" "$MNT" "$KEY" "$HSMFS_RUNTIME_DIR" "$HSMFS_STATE_DIR"
open_as_user() {
	as_user hsmsetup open --key-file "$KEY" "$@" "$ENC" "$MNT"
}
close_as_user() {
	as_user hsmsetup close "$MNT"
}

as_user hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
random_bytes 20000 content >a
chmod 644 a
for cache in writeback writethrough none; do
	open_as_user
	as_user cp --no-preserve=mode a "$MNT/file"
	inode=$(as_user stat -c %i "$MNT/file")
	close_as_user
	backing=$(find "$ENC" -inum "$inode")
	chown 23456:23456 "$backing"
	chmod 666 "$backing"
	open_as_user -o "cache=$cache"
	same "owner" "$(as_user stat -c %u "$MNT/file")" 23456
	as_user truncate -s 10000 "$MNT/file"
	same "$cache: size" "$(as_user stat -c %s "$MNT/file")" 10000
	as_user cmp -n 10000 a "$MNT/file"
	echo text | as_user dd of="$MNT/file" oflag=append conv=notrunc,fsync status=none
	touch -d '1 hour ago' "$backing"
	as_user touch "$MNT/file"
	[ "$(stat -c %Y "$backing")" -gt $(($(date +%s) - 1800)) ] || die "$cache: touch did nothing"
	! as_user touch -d 2001-01-01 "$MNT/file" 2>err || die "$cache: a time was set"
	grep -q 'not permitted' err || die "$(cat err)"
	close_as_user
	open_as_user
	{
		head -c 10000 a
		echo text
	} | as_user cmp - "$MNT/file"
	as_user rm "$MNT/file"
	close_as_user
done
