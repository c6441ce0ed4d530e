#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# An HSM that has no memory for a mount's ring: who waits for it can be killed, the mount
# can be ended, and it goes on when there is memory.
. "$WORK/tests/lib/common.sh"

[ -z "$SANITIZED" ] || skip "a sanitizer ends what has no memory"

# hsmd_memory LIMIT: of its address space; it has taken no ring yet
hsmd_memory() {
	prlimit --pid "$(pids_of hsmd)" --as="$1":unlimited
}
no_more_memory() {
	hsmd_memory $(($(awk '/^VmSize/ { print $2 }' "/proc/$(pids_of hsmd)/status") * 1024))
}
# waits NAME: looks NAME up, and is waiting
waits() {
	stat "$MNT/$1" >/dev/null 2>&1 &
	waiting=$!
	sleep 1
	kill -0 "$waiting" || die "the lookup did not wait"
}

new_volume
echo text >"$MNT/file"
close_volume

open_volume
no_more_memory
waits missing
kill_waiting "$waiting" || die "who waits for a ring cannot be killed"
waits file
hsmd_memory unlimited
wait "$waiting"
close_volume

open_volume
no_more_memory
waits missing
fusermount3 -uz "$MNT"
kill_waiting "$waiting" || die "who waits for a ring of what was unmounted cannot be killed"
kill_all hsmfs CONT # nothing but to wait for its end
