#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# The tables of rules as an ordinary user, in a plain directory and in the mount.
. "$WORK/tests/lib/common.sh"
. "$WORK/tests/lib/rules.sh"

new_volume
mkdir plain
run_rules plain plain.out
run_rules "$MNT" mount.out
compare_rules plain.out mount.out

# What they left is still there after a remount, to the name and the nanosecond.
tree() {
	chmod -R u+rwX "$MNT"
	(cd "$MNT" && find . -printf '%P %y %m %s %n %T@\n' |
		grep -av -e '^times/' -e '/ug ' | sort)
}
tree >before
cold_reopen
tree >after
diff before after || die "the tree has changed"
