#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Whoever waits for a suspended volume can be killed, whatever it waits in.
. "$WORK/tests/lib/common.sh"

# killed NAME PID: it waits, is killed, and ends.
killed() {
	sleep 0.3
	kill -0 "$2" 2>/dev/null || die "$1 did not wait: $(cat "$T/err")"
	kill_waiting "$2" ||
		die "$1 cannot be killed: it is in $(cat "/proc/$2/wchan")"
}

# waits NAME COMMAND...
waits() {
	local name=$1
	shift
	"$@" 2>"$T/err" &
	killed "$name" $!
}

# Processes that have opened the file and wait at a pipe for the volume to be suspended.
reader() { # NAME BYTES FLAG...
	mkfifo "pipe-$1"
	# shellcheck disable=SC2034 # held is what it is for
	exec {held}<>"pipe-$1"
	dd if="$MNT/$1" of="pipe-$1" bs="$2" iflag="$3" 2>/dev/null &
	readers[$1]=$!
}
writer() {
	mkfifo "pipe-$1"
	# shellcheck disable=SC2034 # held is what it is for
	exec {held}<>"pipe-$1"
	dd if="pipe-$1" of="$MNT/$1" bs="$2" count=1 iflag=fullblock oflag="$3" conv=notrunc 2>/dev/null &
	writers[$1]=$!
}
declare -A readers writers

new_volume
random_bytes 3000000 content >a
# each has a file of its own: pages that a killed reader waited for stay locked meanwhile
for name in file other {direct,cached}-{read,write} direct-{read,write}-of-many-pages direct-append; do
	cp a "$MNT/$name"
done
mkdir "$MNT/directory"
close_volume
open_volume
reader direct-read 4096 direct
reader direct-read-of-many-pages 1000000 direct
reader cached-read 1000000 fullblock
writer direct-write 4096 direct
writer direct-write-of-many-pages 2000000 direct
writer direct-append 2000000 direct,append
writer cached-write 10 nofollow
sleep 1
hsmsetup luksSuspend "$MNT"
for name in "${!readers[@]}"; do
	cat "pipe-$name" >/dev/null &
	killed "$name" "${readers[$name]}"
	kill $!
done
for name in "${!writers[@]}"; do
	cat a >"pipe-$name" &
	killed "$name" "${writers[$name]}"
	kill $!
done
waits "a truncate" truncate -s 10 "$MNT/file"
waits "a lookup" stat "$MNT/missing"
waits "making a file" touch "$MNT/new"
waits "a listing" ls "$MNT/directory"
hsmsetup luksResume --key-file "$KEY" "$MNT"
cmp a "$MNT/other"
close_volume
