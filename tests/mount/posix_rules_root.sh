#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 600
# The tables of rules as root, with other users let in: in a plain directory and the mount.
. "$WORK/tests/lib/common.sh"
. "$WORK/tests/lib/rules.sh"

format_volume
open_volume -o allow_other
mkdir plain
run_rules plain plain.out
run_rules "$MNT" mount.out
compare_rules plain.out mount.out

# Without allow_other not even root's other users get in.
hsmsetup close "$MNT"
open_volume
chmod 755 "$T" "$MNT"
! setpriv --reuid 23456 --clear-groups ls "$MNT" 2>/dev/null || die "others can look in"
