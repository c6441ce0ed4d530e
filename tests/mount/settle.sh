#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
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

# settles WANTED: after a crash in which the backing file became what is in ./left.
settles() {
	rm -f "$MNT/file"
	cp a "$MNT/file"
	sync "$MNT/file"
	touch "$MNT/file"
	crash
	cp --sparse=always left "$file"
	open_volume
	cmp "$1" "$MNT/file" || die "not settled to $1"
	echo appended >>"$MNT/file"
	close_volume
	open_volume
	cmp <(cat "$1" && echo appended) "$MNT/file" || die "settled to $1, and then damaged"
}
keep() {
	sync "$MNT/file"
	cp --sparse=always "$(backing)" "$1"
}
file=$(backing)

# Two growths, of which only the pages behind arrived: the first old end is the end.
cp b "$MNT/file"
keep first
head -c 6000 a >>"$MNT/file"
keep second
cp b wanted
cat a >>"$MNT/file"
keep left
dd if=second of=left conv=notrunc bs=4096 skip=1 seek=1
dd if=first of=left conv=notrunc 2>/dev/null
settles wanted

# A last page that was written after the last fsync and did not arrive whole, or at all.
head -c 8096 a >wanted
cp a "$MNT/file"
keep all
head -c 10000 all >left
settles wanted
cp all left
truncate -s 8192 left
truncate -s 30000 left
settles wanted

# The old end before a hole that is longer than what is looked at.
cp b "$MNT/file"
keep first
truncate -s 3G "$MNT/file"
keep left
dd if=first of=left conv=notrunc 2>/dev/null
settles b
close_volume

# A tree that is deeper than there are descriptors.
(ulimit -n 256 && exec hsmsetup open --key-file "$KEY" "$ENC" "$MNT")
deep() {
	cd "$MNT"
	for _ in {1..300}; do
		[ -d d ] || mkdir d
		cd d
	done
}
(deep && cat "$T/a" >deepest && sync deepest && touch deepest)
inode=$(deep && stat -c %i deepest)
crash
find "$ENC" -inum "$inode" -execdir truncate -s 8192 {} \;
(ulimit -n 256 && exec hsmsetup open --key-file "$KEY" "$ENC" "$MNT")
(deep && cmp "$T/wanted" deepest)
close_volume
grep -q '"state": *"clean"' "$ENC/.hsmfs/header" || die "not all was settled"
