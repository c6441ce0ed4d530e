#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# A second store mounted inside the volume's directory has the same inode numbers: files of
# the two must not be taken for links to one.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir "$ENC"
mount -t tmpfs -o size=64m tmpfs "$ENC" 2>/dev/null || skip "cannot mount a tmpfs"
trap 'umount -l "$ENC"/* "$ENC" 2>/dev/null || true' EXIT
format_volume
open_volume
mkdir "$MNT/nested"
close_volume
backing=$(find "$ENC" -mindepth 1 -maxdepth 1 -type d ! -name '.hsmfs*')
mount -t tmpfs -o size=64m tmpfs "$backing"
open_volume
for i in $(seq 60); do
	echo "outer $i" >"$MNT/file-$i"
	echo "nested $i" >"$MNT/nested/file-$i"
done
[ "$(find "$ENC" -type f -printf '%i\n' | sort | uniq -d | wc -l)" -gt 20 ] || die "the numbers do not clash"
same "numbers that are there twice" "$(find "$MNT" -type f -printf '%i\n' | sort | uniq -d | wc -l)" 0
# shellcheck disable=SC2012 # numbers, as readdir gives them
same "numbers of listings" "$(ls -1iU "$MNT" "$MNT/nested" | awk 'NF == 2 { print $1 }' | sort | uniq -d | wc -l)" 0
ln "$MNT/nested/file-1" "$MNT/nested/link"
same "link" "$(stat -c %i "$MNT/nested/link")" "$(stat -c %i "$MNT/nested/file-1")"
cp -a "$MNT" "$T/copy"
same "copied" "$(cat "$T/copy/file-7" "$T/copy/nested/file-7" | xargs)" "outer 7 nested 7"
expect_exit 1 ln "$MNT/file-1" "$MNT/nested/other"
grep -q 'cross-device' err || die "$(cat err)"
mv "$MNT/file-2" "$MNT/nested/moved"
same "moved" "$(cat "$MNT/nested/moved")" "outer 2"
close_volume
