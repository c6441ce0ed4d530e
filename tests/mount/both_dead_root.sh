#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 300
# hsmd dies while a file is being written, and then hsmfs, which cannot end since it waits
# for that file: close ends the mount all the same, and says that data is lost.
. "$WORK/tests/lib/common.sh"

comes_true() { # SECONDS COMMAND...
	local tries=$(($1 * 10))
	shift
	until "$@"; do
		[ $((tries--)) -gt 0 ] || return 1
		sleep 0.1
	done
}
within() {
	comes_true "$@" || die "not in time: $*"
}
process_of() { # hsmd or hsmfs
	hsmsetup status "$MNT" | sed -n "s/^ *$1 process *//p"
}
is_suspended() {
	hsmsetup status "$MNT" | grep -q suspended
}
has_thread() { # PID NAME STATE
	cat "/proc/$1"/task/*/stat 2>/dev/null | grep -q "($2) $3 "
}
is_zombie() {
	grep -q ') Z ' "/proc/$1/stat"
}

# Leaves $hsmfs and $writer, which wait for each other.
kill_both() {
	local hsmd
	new_volume
	echo text >"$MNT/kept"
	sync "$MNT/kept"
	hsmd=$(process_of hsmd)
	hsmfs=$(process_of hsmfs)
	: >"$MNT/written"
	mkfifo "$T/begin"
	dd if="$T/begin" of="$MNT/written" bs=1M count=50 iflag=fullblock conv=notrunc,fsync \
		2>"$T/dd.err" &
	writer=$!
	exec {begin}>"$T/begin"
	kill -STOP "$hsmd" # so that nothing is done of what is to be written
	head -c 50M /dev/zero >&"$begin" &
	within 60 has_thread $writer dd D
	kill -KILL "$hsmd"
	within 60 is_suspended
	# It has the kernel drop pages, which wait to be written first.
	comes_true 20 has_thread "$hsmfs" hsmfs-control D || skip "this kernel does not wait"
	kill -KILL "$hsmfs"
	within 60 is_zombie "$hsmfs"
	# one look may have met another wait: what is killed and still there waits for pages
	sleep 0.5
	has_thread "$hsmfs" hsmfs-control D || skip "hsmfs could end"
}

# The mount is gone; who waited got an error; the volume is free.
is_over() {
	expect_sentence "is lost"
	! is_mounted "$MNT" || die "close left it mounted"
	within 60 has_ended "$writer"
	open_volume
	same "what was on disk" "$(cat "$MNT/kept")" text
	close_volume
}
has_ended() {
	! kill -0 "$1" 2>/dev/null || is_zombie "$1"
}

case ${1-} in
'')
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	trap 'umount -fl "$MNT" 2>/dev/null || true' EXIT # else it stays for ever
	kill_both
	expect_exit 1 hsmsetup close "$MNT"
	is_over
	chmod 755 "$T"
	dir=$T/user
	mkdir -m 700 "$dir" "$dir/run" "$dir/state"
	touch "$dir/key" "$dir/out" "$dir/err" # which root and the user write to
	chown -R hsmfs-test: "$dir"
	export T=$dir HSMFS_RUNTIME_DIR=$dir/run HSMFS_STATE_DIR=$dir/state
	unshare -m bash "$0" in-namespace
	;;
in-namespace) # root, whose mounts are seen by nobody else
	trap 'umount -fl "$MNT" 2>/dev/null || true' EXIT
	connections=/sys/fs/fuse/connections
	as_user() {
		setpriv --reuid hsmfs-test --regid hsmfs-test --clear-groups "$@"
	}
	as_user bash "$0" kill
	! mountpoint -q $connections || umount $connections
	expect_exit 5 as_user hsmsetup close "$MNT"
	expect_sentence "umount -fl $MNT"
	is_mounted "$MNT" || die "close failed and unmounted"
	mount -t fusectl none $connections
	as_user bash "$0" close
	;;
kill)
	kill_both
	echo "$writer" >"$T/writer"
	;;
close)
	writer=$(cat "$T/writer")
	expect_exit 1 hsmsetup close "$MNT"
	is_over
	;;
esac
