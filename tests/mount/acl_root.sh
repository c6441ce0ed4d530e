#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# POSIX ACLs as root, with other users let in, compared with those of a plain directory.
. "$WORK/tests/lib/common.sh"
. "$WORK/tests/lib/acl_cases.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir plain
setfacl -m u:12345:r plain 2>/dev/null || skip "the store has no ACLs"
setfacl -b plain
new_volume -o acl,allow_other
chmod 755 "$T" "$MNT"
acl_cases "$T/plain" >plain.out
acl_cases "$MNT" >mount.out
diff plain.out mount.out || die "ACLs differ"
acl_accesses "$T/plain" >plain.out
acl_accesses "$MNT" >mount.out
diff plain.out mount.out || die "who gets in differs"
[ "$(wc -l <plain.out)" -gt 30 ] || die "the cases did not run"
close_volume

# On a store that has no attributes there are no ACLs, and all else works.
mkdir store
mount -t ramfs ramfs store || exit 0
trap 'umount -l "$T/store" 2>/dev/null || true' EXIT
ENC=$T/store/enc
format_volume
open_volume -o acl,allow_other
chmod 755 "$MNT"
mkdir "$MNT/dir"
chmod 751 "$MNT/dir"
echo text >"$MNT/dir/file"
chmod 644 "$MNT/dir/file"
same "mode" "$(stat -c %a "$MNT/dir/file")" 644
same "read by another user" "$(setpriv --clear-groups --reuid 12345 --regid 9 cat "$MNT/dir/file")" text
expect_exit 1 setfacl -m u:12345:rw "$MNT/dir/file"
grep -q 'not supported' err || die "$(cat err)"
close_volume
