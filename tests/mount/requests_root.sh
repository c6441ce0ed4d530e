#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# What the kernel asks for beside each write: nothing. (It would look for security.capability
# before every one, were it not told that set-id bits are taken by us.)
. "$WORK/tests/lib/common.sh"

events=/sys/kernel/tracing
[ -d $events/events/fuse/fuse_request_send ] || mount -t tracefs tracefs $events 2>/dev/null || true
[ -d $events/events/fuse/fuse_request_send ] || skip "the kernel does not trace FUSE requests"
mkdir "$events/instances/hsmfs-$$" 2>/dev/null || skip "no room for a trace"
events=$events/instances/hsmfs-$$
trap 'rmdir "$events"' EXIT
echo 4096 >"$events/buffer_size_kb"

new_volume -o allow_other
chmod 755 "$T"
chmod 777 "$MNT"
# only of this mount: others are tested meanwhile
echo "connection == $(stat -c %d "$MNT")" >"$events/events/fuse/fuse_request_send/filter" ||
	skip "requests cannot be filtered"

# requests FLAG USER: names of requests and their numbers, of 200 writes by a user
requests() {
	local sent
	echo >"$events/trace"
	echo 1 >"$events/events/fuse/fuse_request_send/enable"
	setpriv --reuid "$2" --regid "$2" --clear-groups \
		dd if=/dev/zero of="$MNT/file-$1-$2" bs=4096 count=200 oflag="$1" status=none
	echo 0 >"$events/events/fuse/fuse_request_send/enable"
	sent=$(grep -o 'FUSE_[A-Z]*' "$events/trace" | sort | uniq -c)
	echo "oflag=$1 as $2: $sent" >&2
	echo "$sent"
}
for user in 0 23456; do
	requests direct $user >sent
	same "WRITEs" "$(awk '$2 == "FUSE_WRITE" { print $1 }' sent)" 200
	[ "$(awk '$2 != "FUSE_WRITE" { n += $1 } END { print n }' sent)" -lt 20 ] || die "$(cat sent)"
	requests dsync $user >sent
	same "WRITEs" "$(awk '$2 == "FUSE_WRITE" { print $1 }' sent)" 200
	same "FSYNCs" "$(awk '$2 == "FUSE_FSYNC" { print $1 }' sent)" 200
	[ "$(awk '$2 == "FUSE_GETXATTR" { n += $1 } END { print n + 0 }' sent)" -lt 10 ] || die "$(cat sent)"
done
