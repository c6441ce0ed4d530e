#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# POSIX ACLs with -o acl, compared with those of a plain directory; without, there are none.
. "$WORK/tests/lib/common.sh"
. "$WORK/tests/lib/acl_cases.sh"

mkdir plain
setfacl -m u:12345:r plain 2>/dev/null || skip "the store has no ACLs"
setfacl -b plain
new_volume -o acl
acl_cases "$T/plain" >plain.out
acl_cases "$MNT" >mount.out
diff plain.out mount.out || die "ACLs differ"
[ "$(wc -l <plain.out)" -gt 100 ] || die "the cases did not run"

# They are there after a remount, and sealed.
(cd "$MNT" && getfacl -Rcnp . 2>&1) >before
cold_reopen -o acl
(cd "$MNT" && getfacl -Rcnp . 2>&1) >after
diff before after || die "ACLs have changed"
! getfattr -Rd -m- "$ENC" 2>/dev/null | grep -aq 'posix_acl' || die "names of ACLs are in clear"

# Without the option: no ACLs, but they are not lost.
cold_reopen
expect_exit 1 setfacl -m u:12345:rw "$MNT/plain"
grep -q 'not supported' err || die "$(cat err)"
same "listed" "$(getfattr -m- "$MNT/dir")" ""
cold_reopen -o acl
(cd "$MNT" && getfacl -Rcnp . 2>&1) >after
diff before after || die "ACLs have changed"
