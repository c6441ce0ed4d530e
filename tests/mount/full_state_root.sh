#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# The disk with the HSM's state is full: what wants the TPM is refused and says why; the
# same hsmd goes on when there is room, and a suspended volume lost nothing.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
mkdir small
mount -t tmpfs -o size=512k,mode=700 tmpfs small || skip "cannot mount a tmpfs here"
trap 'umount -l small' EXIT
mkdir -m 700 small/state
export HSMFS_STATE_DIR=$T/small/state
printf 'wrong horse' >wrong
new_volume
echo text >"$MNT/file"
hsmd=$(hsmsetup status --json "$MNT" | jq .hsmd_pid)
hsmsetup luksSuspend "$MNT"

cat /dev/zero >small/fill 2>/dev/null || true
# (a passphrase that is wrong must be written down, and what could not be ends the TPM)
for key in wrong "$KEY" wrong; do
	expect_exit 1 hsmsetup luksResume --key-file "$key" "$MNT"
	expect_sentence "cannot write its TPM's state: No space left"
done
mkdir other
expect_exit 1 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" other
expect_sentence "cannot write its TPM's state: No space left"
same "nothing made" "$(ls -A other)" ""

rm small/fill
hsmsetup luksResume --key-file "$KEY" "$MNT"
same "content" "$(cat "$MNT/file")" text
same "hsmd" "$(hsmsetup status --json "$MNT" | jq .hsmd_pid)" "$hsmd"
hsmsetup luksFormat -q --key-file "$KEY" --no-recovery "${CHEAP[@]}" other
close_volume
hsmsetup audit verify >/dev/null

# An hsmd that cannot even begin says so, too.
cat /dev/zero >small/fill 2>/dev/null || true
kill_all hsmd TERM
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence 'cannot write its state (No space left'
rm small/fill
open_volume
same "content" "$(cat "$MNT/file")" text
close_volume
kill_all hsmd TERM
