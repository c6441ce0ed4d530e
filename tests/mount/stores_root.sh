#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 480
# Volumes on stores of many kinds: what every mount must do works on each, also after a
# remount; a store that lacks something is refused in one sentence; one that is full or
# over its quota, or read-only, costs nothing that was there.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
STORE=$T/store
ENC=$STORE/enc
mkdir "$STORE"
tried=0
trap 'umount -l "$MNT" "$STORE" 2>/dev/null || true' EXIT

knows() {
	grep -qw "$1" /proc/filesystems || modprobe -q "$1" 2>/dev/null
}

# make_store KIND SIZE [MKFS-OPTION...]: false, with a word why, where it cannot be had.
make_store() {
	local kind=$1 size=$2
	shift 2
	if ! knows "$kind" || ! command -v "mkfs.$kind" >/dev/null; then
		echo "$kind: not here, skipped"
		return 1
	fi
	rm -f image
	truncate -s "$size" image
	"mkfs.$kind" "$@" image >/dev/null 2>mkfs.err || die "mkfs.$kind: $(cat mkfs.err)"
	if ! mount -o loop image "$STORE" 2>mount.err; then
		echo "$kind: $(cat mount.err), skipped"
		return 1
	fi
}

# Of fsx' files not the times (tests/tools/fsx.c says why).
tree_of() {
	(cd "$1" && find . -path ./fsx -prune -o -printf '%P %y %m %U %G %n %s %l %T@\n' |
		sed -E '/ d /s/ [0-9]+ [0-9]+  / - /' | sort)
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2)
}

# try_store KIND [LONGEST-SYMLINK-TARGET]
try_store() {
	tried=$((tried + 1))
	new_volume
	mkdir "$MNT/posix" "$MNT/fsx"
	posix "$MNT/posix" ${2:+"$2"} >posix.out || die "$1: $(head posix.out)"
	cp -a "$WORK/tests" "$MNT/tree"
	mkfifo "$MNT/tree/fifo"
	mknod -m 640 "$MNT/tree/device" c 1 3
	chown 12345:54321 "$MNT/tree/device"
	setfattr -n user.comment -v 'a value' "$MNT/tree/run"
	fsx -n 2400 -p 4 -r 2 "$MNT/fsx"
	tree_of "$MNT" >before
	if [ "$1" = hsmfs ]; then # whose keys are in the same hsmd
		close_volume
		open_volume
	else
		cold_reopen
	fi
	tree_of "$MNT" | diff before - || die "$1: the tree has changed"
	same "$1: attribute" "$(getfattr --only-values -n user.comment "$MNT/tree/run" 2>/dev/null)" "a value"
	close_volume
	umount "$STORE"
	echo "$1: ok"
}

# For the store's fullness: nothing is lost, and it can be used again once there is room.
try_full() {
	random_bytes 2000000 other >"$STORE/other"
	new_volume
	random_bytes 100000 kept >"$MNT/kept"
	sync "$MNT/kept"
	if dd if=/dev/zero of="$MNT/filler" bs=1M count=200 conv=fsync 2>err; then
		die "$1: a full store took all"
	fi
	grep -Eqi 'no space left|quota exceeded' err || die "$1: $(cat err)"
	close_volume
	# Where nothing is written in place, not even the header can be, until there is room.
	if ! hsmsetup open --key-file "$KEY" "$ENC" "$MNT" 2>err; then
		expect_sentence 'No space left.*; make room'
		open_volume --readonly
		random_bytes 100000 kept | cmp - "$MNT/kept" || die "$1: content, read-only"
		close_volume
		rm "$STORE/other"
		sync -f "$STORE"
		open_volume
	fi
	random_bytes 100000 kept | cmp - "$MNT/kept" || die "$1: content"
	rm "$MNT/filler"
	sync -f "$ENC"
	random_bytes 2000000 more >"$MNT/more"
	sync "$MNT/more"
	cold_reopen
	random_bytes 2000000 more | cmp - "$MNT/more" || die "$1: after making room"
	close_volume
	umount "$STORE"
	echo "$1: ok"
}

# A read-only store: written on while it could be, read afterwards.
try_read_only() {
	new_volume
	cp -a "$WORK/tests/mount" "$MNT/tree"
	tree_of "$MNT" >before
	close_volume
	mount -o remount,ro "$STORE"
	expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
	expect_sentence 'read-only'
	open_volume --readonly
	tree_of "$MNT" | diff before - || die "on a read-only store"
	! touch "$MNT/new" 2>/dev/null || die "written to a read-only store"
	close_volume
	umount "$STORE"
	echo "read-only: ok"
}

# try_lacking KIND WORDS: neither format nor leftovers, but a sentence with the words.
try_lacking() {
	mkdir "$ENC"
	expect_exit 1 hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
	expect_sentence "$2"
	same "$1: left over" "$(ls -A "$ENC")" ""
	umount "$STORE"
	echo "$1: refused"
}

! make_store ext4 64M -q -F -b 4096 || try_store ext4
! make_store xfs 320M -q -f || try_store xfs 735
! make_store btrfs 128M -q -f || try_store btrfs
mount -t tmpfs -o size=64m none "$STORE"
try_store tmpfs
if knows overlay; then
	mkdir lower upper workdir
	mount -t tmpfs none lower
	mkdir lower/up lower/work
	mount -t overlay -o "lowerdir=$T/upper,upperdir=$T/lower/up,workdir=$T/lower/work" none "$STORE"
	try_store overlay
	umount lower
fi

# A volume in a volume: two daemons, the one waiting for the other, and one hsmd.
outer=$T/outer
mkdir "$outer"
hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$outer"
hsmsetup open --key-file "$KEY" "$outer" "$STORE"
try_store hsmfs 2246

! make_store ext4 16M -q -F -b 4096 -m 0 || try_full 'full ext4'
! make_store btrfs 112M -q -f --mixed || try_full 'full btrfs'
mount -t tmpfs -o size=16m none "$STORE"
try_full 'full tmpfs'
! make_store ext4 16M -q -F -b 4096 || try_read_only

# Without symbolic links, whichever of the two can be had.
! make_store vfat 64M || try_lacking vfat 'no symbolic links'
if command -v mkfs.exfat mount.exfat-fuse >/dev/null; then
	truncate -s 16M image
	mkfs.exfat image >/dev/null
	loop=$(losetup -f --show image)
	mount.exfat-fuse "$loop" "$STORE" >/dev/null
	losetup -d "$loop" # once it is not used any more
	try_lacking exfat 'no symbolic links'
fi
[ $tried -ge 2 ] || die "no store could be tried"
