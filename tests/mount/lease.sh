#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# A lease that runs out suspends the volume; a byte limit slows a thief down.
. "$WORK/tests/lib/common.sh"

field() {
	hsmsetup status --json "$MNT" | jq -r ".$1"
}
read_file() {
	dd if="$MNT/file" iflag=direct bs=100000 status=none
}

new_volume
same "lease" "$(field lease_left_s)" null
same "limit" "$(field limit_bytes)" null
random_bytes 3000000 a >"$MNT/file"
close_volume

open_volume --lease 10s --idle 1h
[ "$(field lease_left_s)" -le 10 ] && [ "$(field idle_left_s)" -le 3600 ]
read_file | cmp - <(random_bytes 3000000 a)
cat "$MNT/file" >/dev/null
until [ "$(field state)" = suspended ]; do
	sleep 0.2
done
# Not even what the kernel had cached is given out.
timeout 1 cat "$MNT/file" >cached || true
same "bytes read after the lease" "$(stat -c %s cached)" 0
read_file >got 2>err &
reader=$!
sleep 1
kill -0 $reader || die "the reader did not wait: $(cat err)"
jq -es 'any(.event == "lease-over" or .event == "lock")' "$HSMFS_STATE_DIR/audit.jsonl" >/dev/null
hsmsetup luksResume --lease 5h --key-file "$KEY" "$MNT"
wait $reader || die "reader: $(cat err)"
cmp got <(random_bytes 3000000 a)
same "idle lease" "$(field idle_left_s)" null

# Resumed without a word of limits, those stand that there were; the HSM's word counts.
hsmsetup luksSuspend "$MNT"
expect_exit 0 hsmsetup luksResume --key-file "$KEY" "$MNT"
[ "$(field lease_left_s)" -gt 10000 ] || die "the lease was not kept"
[ ! -s err ] || die "$(cat err)"
hsmsetup luksSuspend "$MNT"
hsmsetup luksResume --lease 0 --key-file "$KEY" "$MNT"
same "lease" "$(field lease_left_s)" null
hsmsetup luksSuspend "$MNT"
kill_all hsmd
expect_exit 0 hsmsetup luksResume --key-file "$KEY" "$MNT"
expect_sentence "does not know whether there were limits"
close_volume

expect_exit 1 hsmsetup open --max-bytes 5 --key-file "$KEY" "$ENC" "$MNT"
expect_exit 1 hsmsetup open --max-bytes 1G/0 --key-file "$KEY" "$ENC" "$MNT"
open_volume --max-bytes 4M/1h
same "limit" "$(field limit_bytes)" 4194304
read_file | cmp - <(random_bytes 3000000 a)
[ "$(field limit_left)" -lt 1200000 ] || die "left: $(field limit_left)"
if read_file >got 2>err; then
	die "the limit stopped nobody"
fi
grep -qi quota err || die "$(cat err)"
[ "$(field over_limit)" -gt 0 ]
hsmsetup status "$MNT" | grep -q "read limit"
# Writing goes on, also in place and at the end of files that cannot be read.
read_byte() {
	dd if="$MNT/file" iflag=direct,skip_bytes bs=1 skip="$1" count=1 status=none >/dev/null 2>&1
}
for _ in $(seq 2000); do # each byte costs its page
	read_byte 100000 || break
done
! read_byte 100000 || die "a page can be read"
random_bytes 200000 b >"$MNT/second"
sync "$MNT/second"
random_bytes 4096 c | dd of="$MNT/file" bs=4096 seek=100 conv=notrunc,fsync status=none
random_bytes 8192 d | dd of="$MNT/file" bs=8192 seek=3010560 oflag=seek_bytes conv=notrunc,fsync status=none
truncate -s 3018750 "$MNT/file"
kill_all hsmd TERM
jq -es 'any(.event == "over-limit")' "$HSMFS_STATE_DIR/audit.jsonl" >/dev/null
hsmsetup luksResume --max-bytes 1G/1h --key-file "$KEY" "$MNT"
{
	random_bytes 3000000 a | head -c 409600
	random_bytes 4096 c
	random_bytes 3000000 a | tail -c +413697
	head -c 10560 /dev/zero
	random_bytes 8192 d | head -c 8190
} | cmp - "$MNT/file"
cmp "$MNT/second" <(random_bytes 200000 b)
