#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# User namespaces: root in one formats, mounts and uses a volume there, without any rights
# outside; and what was mounted outside is used within.
. "$WORK/tests/lib/common.sh"
. "$WORK/tests/lib/rules.sh"

if [ "${1-}" = inside ]; then
	new_volume
	mkdir plain-inside
	run_rules plain-inside plain.out
	run_rules "$MNT" mount.out
	compare_rules plain.out mount.out
	echo inside >"$MNT/file"
	same "owner" "$(stat -c %u:%g "$MNT/file")" 0:0
	close_volume
	exit 0
fi
[ "$(id -u)" -ne 0 ] || skip "is for ordinary users"
unshare -Urm true 2>/dev/null || skip "no user namespaces for users"
unshare -Urm bash "$0" inside
kill_all hsmd

open_volume
same "content" "$(cat "$MNT/file")" inside
same "owner" "$(stat -c %u "$MNT/file")" "$(id -u)"
mkdir plain
cat >within <<'END'
cd "$1"
umask 022
echo text >new
stat -c '%u %g %a' new
chown 0:0 new && echo "chown to oneself"
for who in 5 :5; do
	chown $who new 2>&1
done
chmod 4755 new
stat -c '%u %g %a' new
mknod device c 1 3 2>&1
chown --reference=/proc/1 new 2>&1
ln -s new link
chown -h 0 link && echo "and of a symlink"
echo more >>new
cat new
END
for dir in plain "$MNT"; do
	unshare -Ur bash within "$dir" >"$T/within-$(basename "$dir")" || die "within $dir"
done
diff within-plain within-mnt || die "within a namespace the mount differs"
grep -q 'Invalid argument' within-mnt || die "$(cat within-mnt)"
same "owner outside" "$(stat -c %u "$MNT/new")" "$(id -u)"
