#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A file that somebody cuts or lengthens in the volume's directory while it is mounted, and the
# kernel knows how long it was: no byte of it reads as another than was written.
. "$WORK/tests/lib/common.sh"

# Block by block, since a program may go on after an error.
wrong_blocks() {
	perl -e '
		open(my $good, "<", "a") or die;
		open(my $file, "<", $ARGV[0]) or exit 0;
		for (my $at = 0; $at < 30000; $at += 500) {
			sysseek($file, $at, 0);
			sysseek($good, $at, 0);
			next unless sysread($file, my $is, 500);
			sysread($good, my $was, length $is);
			print "$at " if $is ne $was;
		}
	' "$1"
}

size=20000
new_volume
random_bytes 30000 content >a
for kind in "" ,cache=writethrough ,cache=none; do
	close_volume
	open_volume -o "noatime$kind"
	for cut in 1 64 65 2000 4095 4096 4097 8192 9000 12288 16384 20000; do
		head -c $size a >"$MNT/$cut"
		cp "$MNT/$cut" "$MNT/$cut-longer"
	done
	sync "$MNT"/*
	for file in "$MNT"/*; do
		dd if="$file" iflag=nocache count=0 status=none # nothing of it stays cached
	done
	stat -c '%i %n' "$MNT"/* >inodes
	while read -r inode name; do
		backing=$(find "$ENC" -inum "$inode")
		name=${name##*/}
		# cut, or another's page behind it, which is whole
		case $name in
		*-longer) dd if="$backing" bs=4096 skip=1 count=1 status=none >>"$backing" ;;
		*) truncate -s "$name" "$backing" ;;
		esac
	done <inodes
	for file in "$MNT"/*; do
		same "$kind: wrong blocks of $file" "$(wrong_blocks "$file")" ""
		code=0
		cat "$file" >/dev/null 2>err || code=$?
		[ $code -ne 0 ] || die "$kind: $file was read to its end"
		grep -q 'Input/output' err || die "$kind: $file: $(cat err)"
		! printf x | dd of="$file" oflag=append conv=notrunc,fsync 2>err || die "$kind: $file was written to"
	done
	# Emptied, it is a good one.
	for file in "$MNT"/*; do
		echo text >"$file"
		same "content" "$(cat "$file")" text
		sync "$file"
	done
	rm "$MNT"/*
done
close_volume
