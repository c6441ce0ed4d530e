#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# Two mounts of one volume: refused, unless both say sharedstorage; then each sees at once
# what the other does.
. "$WORK/tests/lib/common.sh"

A=$MNT B=$T/second
mkdir "$B"
new_volume
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" "$B"
expect_sentence "mounted already, on $A;"
expect_exit 5 hsmsetup open --key-file "$KEY" -o sharedstorage "$ENC" "$B"
expect_exit 5 hsmsetup open --key-file "$KEY" --readonly "$ENC" "$B"
expect_sentence "mounted already, on $A;"
# By a path that differs, and by nobody whom one could name.
ln -s "$ENC" alias
expect_exit 5 hsmsetup open --key-file "$KEY" alias "$B"
expect_sentence "mounted already, on $A;"
echo old >"$A/file"
sync "$A/file"
kill_all hsmfs # a lock whose holder has died is none
hsmsetup close "$A"
flock -o "$ENC/.hsmfs/lock" sleep 100 &
holder=$!
while flock -n "$ENC/.hsmfs/lock" true; do sleep 0.05; done
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" "$B"
expect_sentence "mounted already, by another"
kill $holder
wait $holder || true
flock "$ENC/.hsmfs/lock" true
open_volume
close_volume
kill_all hsmd

open_volume -o sharedstorage
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" "$B"
hsmsetup open --key-file "$KEY" -o sharedstorage "$ENC" "$B"

# Contents and sizes, also through descriptors that stay open.
same "content" "$(cat "$B/file")" old
exec 5<>"$A/file" 6<>"$B/file"
echo new-and-longer >&5
same "read by the other" "$(cat <&6)" new-and-longer
same "size" "$(stat -c %s "$B/file")" 15
: >"$B/file"
same "cut" "$(stat -c %s "$A/file")" 0
truncate -s 100000 "$A/file"
printf end | dd of="$B/file" bs=1 seek=50000 conv=notrunc status=none
same "in a hole of the other's" "$(dd if="$A/file" bs=1 skip=49998 count=7 status=none | od -An -c | tr -d ' \n')" \
	'\0\0end\0\0'
exec 5>&- 6>&-

# Names.
mkdir "$A/d"
touch "$B/d/x"
! touch "$A/d/x/y" 2>/dev/null || die "a file with children"
same "listing" "$(ls "$A/d")" x
mv "$B/d" "$B/e"
same "moved" "$(ls "$A/e")" x
! ls "$A/d" 2>/dev/null || die "still there under its old name"
rm -r "$A/e"
! ls "$B/e" 2>/dev/null || die "still there"
for i in $(seq 50); do
	# inode numbers come back: ids of directories that are gone must not
	mkdir "$A/n" && touch "$A/n/f" && same "round $i" "$(ls "$B/n")" f
	rm -r "$B/n"
	mkdir "$B/n" && touch "$A/n/g" && same "round $i" "$(ls "$B/n")" g
	rm -r "$A/n"
done

# Both write to one page: nothing is lost or torn. (Appending at the same time is not
# atomic between machines, as on NFS.)
bytes() {
	local i
	for i in $(seq "$2" 2 600); do
		printf '%b' "\\x$(printf %02x $((i % 255 + 1)))" |
			dd of="$1/page" bs=1 seek="$i" conv=notrunc status=none || exit 1
	done
}
truncate -s 600 "$A/page"
bytes "$A" 0 &
one=$!
bytes "$B" 1 &
two=$!
wait $one
wait $two
head -c 600 "$A/page" | od -An -v -tu1 -w1 | awk '{ if ($1 != (NR - 1) % 255 + 1) exit 1 }' ||
	die "lost bytes of a page"
for i in $(seq 100); do
	echo "$i" >>"$A/log"
	echo "$i" >>"$B/log"
done
same "lines" "$(uniq -c "$B/log" | awk '$1 == 2' | wc -l)" 100

# A reader's lock against other machines lasts as long as it reads, even if the file is
# opened for writing meanwhile.
others_may_write() {
	python3 - "$backing" <<-'END'
		import fcntl, sys
		with open(sys.argv[1], "rb+") as file:
		    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
	END
}
others_wait() {
	! others_may_write 2>/dev/null
}
random_bytes 300000 shared >"$A/read"
backing=$(backing_of_size 300000)
exec 5<"$A/read" 7<"$A/read"
hsmd=$(pids_of hsmd)
kill -STOP "$hsmd"
head -c 300000 <&5 >got 7<&- &
reader=$!
for _ in $(seq 600); do
	! others_wait || break
	sleep 0.1
done
others_wait || die "the reader has no lock"
(exec 6<>/dev/fd/5) 7<&- & # by no name: none can be looked up now
opener=$!
for _ in $(seq 20); do
	kill -0 $opener 2>/dev/null || break
	sleep 0.1
done
others_wait || die "the reader has lost its lock"
# Nor does closing the file, which has to wait for the opener, hold anything else up.
exec 7<&-
timeout 60 stat -f "$A" >/dev/null || die "nothing is served any more"
kill -CONT "$hsmd"
wait $reader
wait $opener
cmp got <(random_bytes 300000 shared)
exec 5<&-
others_may_write || die "a lock was left"

# A machine that crashes before a file that it lengthened says where it ends now: what the
# other one writes there is not lost with that.
random_bytes 200000 old >"$A/grown"
sync "$A/grown"
backing=$(backing_of_size 200000)
last=$(((200000 - 1 + 32) / 4064))
dd if="$backing" of=old-last bs=4096 skip=$last status=none
random_bytes 12000 lost >>"$A/grown"
dd if=old-last of="$backing" bs=4096 seek=$last conv=notrunc status=none
random_bytes 5000 new >>"$B/grown"
sync "$B/grown"
grown() { # where it is written was looked up before: what was lost is zeros
	head -c 200000 "$1/grown" | cmp - <(random_bytes 200000 old)
	tail -c +200001 "$1/grown" | head -c 12000 | cmp - <(head -c 12000 /dev/zero)
	tail -c +212001 "$1/grown" | cmp - <(random_bytes 5000 new)
}
grown "$A"

# The volume is looked at when it is next mounted alone, and all is well.
hsmsetup close "$B"
close_volume
open_volume
same "bytes" "$(stat -c %s "$A/page")" 601
grown "$A"
! cat "$A"/* 2>&1 >/dev/null | grep . || die "damage"
close_volume
