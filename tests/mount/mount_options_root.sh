#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 300
# Mount options do what they say, and findmnt, df and mount show an hsmfs.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
format_volume
chmod 755 "$T"
shown() {
	awk -v m="$MNT" '$5 == m' /proc/self/mountinfo
}
has() {
	shown | grep -q "$1" || die "no $1: $(shown)"
}
has_not() {
	! shown | grep -q "$1" || die "$1: $(shown)"
}
as_other() {
	setpriv --reuid 23456 --regid 23456 --clear-groups "$@"
}

open_volume
chmod 755 "$MNT"
cp /bin/true "$MNT/program"
cp /usr/bin/id "$MNT/suid"
chmod 4755 "$MNT/suid"
mknod -m 666 "$MNT/null" c 1 3
echo text >"$MNT/file"
same "findmnt" "$(findmnt -rno SOURCE,FSTYPE "$MNT")" "$ENC fuse.hsmfs"
same "df" "$(df --output=source,fstype,target "$MNT" | tail -n 1 | xargs)" "$ENC fuse.hsmfs $MNT"
mount | grep -q "^$ENC on $MNT type fuse.hsmfs " || die "mount does not list it"
has nosuid
has nodev
has_not noexec
has_not allow_other
"$MNT/program"
expect_exit 2 as_other ls "$MNT"
# shellcheck disable=SC2188 # opened, no more
! (: >"$MNT/null") 2>/dev/null || die "a device can be opened"
close_volume

open_volume -o noexec,noatime,relatime,nodiratime
has noexec
expect_exit 126 env "$MNT/program"
close_volume

open_volume -o allow_other,suid,dev,exec
has allow_other
has_not nosuid
has_not nodev
as_other cat "$MNT/file" >out
same "read by another user" "$(cat out)" text
same "effective user" "$(as_other "$MNT/suid" -un)" root
echo x >"$MNT/null"
close_volume

open_volume -o allow_other
same "effective user" "$(as_other "$MNT/suid" -u)" 23456
close_volume

# Here root's own mount, so nobody else gets in.
open_volume -o allow_root
same "read by root" "$(cat "$MNT/file")" text
expect_exit 1 as_other cat "$MNT/file"
same "findmnt" "$(findmnt -rno SOURCE,FSTYPE "$MNT")" "$ENC fuse.hsmfs"
close_volume

open_volume -o ro,noexec
has ' ro,'
expect_exit 1 touch "$MNT/new"
close_volume

# Reading moves no time, of the backing files neither.
old=@1000000000
find "$ENC" -exec touch -h -a -d $old {} +
open_volume
cat "$MNT/file" >/dev/null
ls -l "$MNT" >/dev/null
close_volume
same "backing files with a new atime" "$(find "$ENC" -path "$ENC/.hsmfs" -prune -o -newerat @1000000001 ! -type l -print | wc -l)" 0

for wrong in nonsense uid=5 acl=yes sharedstorage=1; do
	expect_exit 1 hsmsetup open --key-file "$KEY" -o $wrong "$ENC" "$MNT"
	expect_sentence "mount option is not known: $wrong"
done
# luksSuspend --all would pass such a mount over, and luksResume not find its volume.
for wrong in fsname=name subtype=type; do
	expect_exit 1 hsmsetup open --key-file "$KEY" -o "noexec,$wrong" "$ENC" "$MNT"
	expect_sentence "mount option $wrong cannot be given"
done
! is_mounted "$MNT" || die "mounted"
