#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 90
# The states that a crash can leave a file in, made by hand: an unclean volume settles them,
# a clean one refuses.
. "$WORK/tests/lib/common.sh"

new_volume
random_bytes 20000 first >a
random_bytes 100 second >b
crash() {
	kill_all hsmfs
	fusermount3 -u -z "$MNT"
}
backing() {
	find "$ENC" -path "$ENC/.hsmfs" -prune -o -type f -print
}
cp a "$MNT/file"
close_volume
file=$(backing)
same "files" "$(wc -l <<<"$file")" 1

# Cut at a page boundary: in a clean volume that is an attack.
cp "$file" saved
truncate -s 8192 "$file"
open_volume
! cat "$MNT/file" >/dev/null 2>err || die "a cut file was read"
grep -q 'Input/output' err
close_volume

# After a crash it is a file that was growing: what is there is good.
cp saved "$file"
open_volume
touch "$MNT/file"
crash
truncate -s 8192 "$file"
open_volume
same size "$(stat -c %s "$MNT/file")" 8096
cmp <(head -c 8096 a) "$MNT/file"
close_volume
open_volume
cmp <(head -c 8096 a) "$MNT/file"

# The old last page is on disk in its old state, the pages behind it are new: what had been
# acknowledged is there.
rm "$MNT/file"
cp b "$MNT/file"
sync "$MNT/file"
file=$(backing)
cp "$file" old
cat a >>"$MNT/file"
sync "$MNT/file"
touch "$MNT/file"
crash
dd if=old of="$file" conv=notrunc 2>/dev/null
open_volume
cmp b "$MNT/file"

# The last page was written shorter, the cut did not come: the page says its length.
cp a "$MNT/file"
sync "$MNT/file"
cp "$file" long
truncate -s 9000 "$MNT/file"
sync "$MNT/file"
cp "$file" short
touch "$MNT/file"
crash
head -c 12288 long >"$file"
dd if=short of="$file" conv=notrunc 2>/dev/null
open_volume
cmp <(head -c 9000 a) "$MNT/file"
close_volume
