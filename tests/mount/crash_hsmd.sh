#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# hsmd is killed under a mount: I/O waits, waiting processes can be killed, and after
# luksResume or closing and opening again nothing that was acknowledged is lost.
. "$WORK/tests/lib/common.sh"

new_volume
random_bytes 3000000 a >"$MNT/file"
sync "$MNT/file"

# Past the page cache, so that the HSM is needed.
read_file() {
	dd if="$MNT/file" iflag=direct bs=300000 status=none
}
running() {
	kill -0 "$1" 2>/dev/null
}
read_file | cmp - <(random_bytes 3000000 a)

kill_all hsmd
read_file >got 2>err &
reader=$!
(random_bytes 500000 b >"$MNT/second" && sync "$MNT/second") &
writer=$!
sleep 2
running $reader || die "the reader did not wait: $(cat err)"
running $writer || die "the writer did not wait"

# A waiting process can be killed, by SIGTERM too.
dd if="$MNT/file" iflag=direct bs=300000 of=/dev/null status=none &
victim=$!
sleep 0.5
kill $victim
wait_gone $victim
wait $victim || true

# A wrong passphrase does not wake them.
printf wrong >wrong
expect_exit 2 hsmsetup luksResume --key-file wrong "$MNT"
expect_sentence passphrase
running $reader || die "the reader woke without a key"

hsmsetup luksResume --key-file "$KEY" "$MNT"
wait $reader || die "reader: $(cat err)"
wait $writer
cmp got <(random_bytes 3000000 a)
cmp "$MNT/second" <(random_bytes 500000 b)
cold_reopen
cmp "$MNT/file" <(random_bytes 3000000 a)
cmp "$MNT/second" <(random_bytes 500000 b)

# In the middle of many operations, several times.
tar -C /usr/include -cf include.tar .
mkdir "$MNT/include"
tar -C "$MNT/include" -xf include.tar &
tar=$!
for pause in 0.3 0.5 0.7; do
	sleep $pause
	kill_all hsmd
	hsmsetup luksResume --key-file "$KEY" "$MNT"
done
wait $tar
diff -r --no-dereference /usr/include "$MNT/include"
cold_reopen
diff -r --no-dereference /usr/include "$MNT/include"

# Closing instead of resuming.
kill_all hsmd
hsmsetup close "$MNT"
! is_mounted "$MNT" || die "still mounted"
open_volume
cmp "$MNT/file" <(random_bytes 3000000 a)
