#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# A file that was cut, or to which pages were added, cannot be read to its end, and writing,
# cutting or punching it does not make it a good one.
. "$WORK/tests/lib/common.sh"

damages=(cut added zeros sparse flipped)
changes=(append overwrite shorter longer same allocate punch zero gap)
pages=5
size=$((pages * 4064 - 32))

change() { # WAY FILE
	case $1 in
	append) head -c 3000 a | dd of="$2" bs=3000 oflag=append conv=notrunc,fsync ;;
	overwrite) head -c 9000 a | dd of="$2" bs=9000 seek=$((size - 4000)) oflag=seek_bytes conv=notrunc,fsync ;;
	shorter) truncate -s 7000 "$2" ;;
	longer) truncate -s 90000 "$2" ;;
	same) truncate -s "$(stat -c %s "$2")" "$2" ;;
	allocate) fallocate -l 200000 "$2" ;;
	punch) fallocate -p -o 0 -l 200000 "$2" ;;
	zero) fallocate -z -o 5000 -l 8000 "$2" ;;
	gap) head -c 9000 a | dd of="$2" bs=9000 seek=70000 oflag=seek_bytes conv=notrunc,fsync ;;
	esac
}

damage() { # WAY BACKING
	case $1 in
	cut) truncate -s $((3 * 4096)) "$2" ;;
	added) head -c 8192 a >>"$2" ;;
	zeros | sparse) truncate -s +8192 "$2" ;;
	flipped) printf x | dd of="$2" bs=1 seek=$((pages * 4096 - 1)) conv=notrunc ;;
	esac 2>/dev/null
}

new_volume
random_bytes 100000 content >a
for how in "${damages[@]}"; do
	for way in read "${changes[@]}"; do
		head -c $size a >"$MNT/$how-$way"
		[ "$how" != sparse ] || fallocate -p -o 4032 -l 4064 "$MNT/$how-$way"
	done
done
# The names are sealed: inode numbers say which backing file is whose.
stat -c '%i %n' "$MNT"/* >inodes
close_volume
while read -r inode name; do
	backing=$(find "$ENC" -inum "$inode")
	name=${name##*/}
	damage "${name%-*}" "$backing"
	cp --sparse=always "$backing" "before-$name"
	ln -s "$backing" "backing-$name"
done <inodes
open_volume
for how in "${damages[@]}"; do
	! cat "$MNT/$how-read" >/dev/null 2>err || die "$how: was read to the end"
	grep -q 'Input/output' err || die "$how: $(cat err)"
	for way in "${changes[@]}"; do
		! change "$way" "$MNT/$how-$way" >out 2>err || die "$how: $way succeeded"
		grep -q 'Input/output' err || die "$how: $way: $(cat err)"
	done
done
close_volume
for how in "${damages[@]}"; do
	for way in read "${changes[@]}"; do
		case $how-$way in
		# a page before the last may be written
		*-overwrite) cmp -n $((3 * 4096)) "before-$how-$way" "backing-$how-$way" ;;
		*) cmp "before-$how-$way" "backing-$how-$way" ;;
		esac
	done
done

# The other pages can be read and written, and the file emptied.
open_volume
for how in "${damages[@]}"; do
	file=$MNT/$how-read
	[ "$how" = sparse ] || cmp <(head -c 4096 a) <(head -c 4096 "$file")
	printf new | dd of="$file" conv=notrunc,fsync 2>/dev/null
	same "beginning" "$(head -c 3 "$file")" new
	head -c 10000 a >"$file"
	cmp <(head -c 10000 a) "$file"
done
cold_reopen
for how in "${damages[@]}"; do
	cmp <(head -c 10000 a) "$MNT/$how-read"
done
