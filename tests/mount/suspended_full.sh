#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# While a volume is suspended the kernel goes on writing back, more than anybody wants to
# keep. Whoever waits for the volume can be killed all the same, and nothing is lost.
. "$WORK/tests/lib/common.sh"

new_volume
random_bytes 60000000 content >a
mkfifo pipe
: >"$MNT/big"
dd if=pipe of="$MNT/big" bs=1M iflag=fullblock conv=fsync,notrunc 2>/dev/null &
writer=$!
exec {in}>pipe
head -c 1048576 a >&"$in"
for _ in $(seq 100); do
	[ "$(stat -c %s "$MNT/big")" -eq 0 ] || break
	sleep 0.1
done
hsmsetup luksSuspend "$MNT"
stat "$MNT/missing" 2>/dev/null &
waiting=$!
tail -c +1048577 a >&"$in" &
exec {in}>&-
sleep 5 # it writes, or waits to be allowed to: nothing tells
kill -0 "$waiting" || die "a lookup did not wait"
kill_waiting "$waiting" || die "who waits for a lookup cannot be killed"
hsmsetup luksResume --key-file "$KEY" "$MNT"
wait "$writer"
cmp a "$MNT/big"
cold_reopen
cmp a "$MNT/big"
close_volume
