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
