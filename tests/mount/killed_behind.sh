#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Whoever waits behind another's operation on a suspended volume can be killed: nothing
# comes of what he wanted, and the other one goes on.
. "$WORK/tests/lib/common.sh"

NR=8 # so many requests in a row have a second worker receive

# user N READ|WRITE: once told to, direct I/O on the second block of file N by nothing but
# one system call. The first block has hsmfs know the file, which it would wait for else.
user() {
	mkfifo "$2-$1"
	# shellcheck disable=SC2034 # held is what it is for
	exec {held}<>"$2-$1"
	python3 -c '
import mmap, os, sys
name, what, path = sys.argv[1:]
block = mmap.mmap(-1, 4096)
file = os.open(path, os.O_RDWR | os.O_DIRECT)
os.preadv(file, [block], 0)
open("ready-" + what + name, "w").close()
open(what + "-" + name).readline()
if what == "write":
    os.pwritev(file, [block], 4096)
else:
    os.preadv(file, [block], 4096)
    open("got-" + name, "wb").write(block)
' "$1" "$2" "$MNT/$1" &
}
readers=() writers=()

new_volume
random_bytes 100000 content >x
for i in $(seq $NR); do
	cp x "$MNT/$i"
done
close_volume
open_volume -o workers=2
for i in $(seq $NR); do
	user "$i" read
	readers+=($!)
	user "$i" write
	writers+=($!)
done
for i in $(seq $NR); do
	until [ -e "ready-read$i" ] && [ -e "ready-write$i" ]; do sleep 0.05; done
done

# hsmfs finds all of it at once, and hsmd does none of it.
hsmd=$(pids_of hsmd)
hsmfs=$(pids_of hsmfs)
kill -STOP "$hsmd" "$hsmfs"
for what in read write; do
	for i in $(seq $NR); do
		echo go >"$what-$i"
	done
	sleep 1
done
kill -CONT "$hsmfs"
sleep 1
kill_all hsmd
sleep 0.3
for writer in "${writers[@]}"; do
	kill -0 "$writer" 2>/dev/null || die "a writer did not wait"
	kill_waiting "$writer" || die "a writer cannot be killed: it is in $(cat "/proc/$writer/wchan")"
done
hsmsetup luksResume --key-file "$KEY" "$MNT"
for reader in "${readers[@]}"; do
	wait "$reader" || die "a reader failed"
done
for i in $(seq $NR); do
	cmp "got-$i" <(dd if=x bs=4096 skip=1 count=1 status=none)
done
check() {
	local i
	for i in $(seq $NR); do
		cmp x "$MNT/$i"
	done
}
check
cold_reopen
check
close_volume
