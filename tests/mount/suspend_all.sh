#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# luksSuspend --all takes every volume that there is, and nobody else's.
. "$WORK/tests/lib/common.sh"

state() {
	hsmsetup status --json "$1" | jq -r .state
}

expect_exit 0 hsmsetup luksSuspend --all
format_volume
cp -r "$ENC" enc-2 # the same volume in another place
mkdir mnt-1 mnt-2 mnt-3
hsmsetup open --key-file "$KEY" "$ENC" mnt-1
hsmsetup open --key-file "$KEY" enc-2 mnt-2
echo one >mnt-1/file
echo two >mnt-2/file
expect_exit 1 hsmsetup luksSuspend --all mnt-1
expect_exit 1 hsmsetup status --all
expect_sentence "does not belong"
same "state" "$(state mnt-1)" active

# Not with another runtime directory, as another user has.
mkdir -m 700 elsewhere
HSMFS_RUNTIME_DIR=$T/elsewhere expect_exit 0 hsmsetup luksSuspend --all
same "state" "$(state mnt-1)" active

hsmsetup luksSuspend mnt-2
expect_exit 0 hsmsetup luksSuspend --all
same "states" "$(state mnt-1) $(state mnt-2)" "suspended suspended"
expect_exit 0 hsmsetup luksSuspend --all
for n in 1 2; do
	hsmsetup luksResume --key-file "$KEY" mnt-$n
done
same "content" "$(cat mnt-1/file mnt-2/file | tr '\n' ' ')" "one two "

# Where a volume is need not be text. And it is the kernel that says where: an hsmfs that
# says it serves another volume gets no ticket for that.
socket() {
	echo "$HSMFS_RUNTIME_DIR/mounts/$(printf %s "$1" | sha256sum | cut -c 1-32).sock"
}
ENC=$T/$'not, \xff text'
new_volume
echo three >"$MNT/file"
expect_exit 0 hsmsetup luksSuspend --all
mv "$(socket "$T/mnt-1")" kept
ln "$(socket "$MNT")" "$(socket "$T/mnt-1")"
expect_exit 1 hsmsetup luksResume --key-file "$KEY" mnt-1
expect_sentence "put that one back"
mv kept "$(socket "$T/mnt-1")"
same "states" "$(state mnt-1) $(state "$MNT")" "suspended suspended"
for mountpoint in mnt-1 mnt-2 "$MNT"; do
	hsmsetup luksResume --key-file "$KEY" "$mountpoint"
done
same "content" "$(cat "$MNT/file" mnt-1/file | tr '\n' ' ')" "three one "
close_volume

# One that is now elsewhere, with a directory above it, has no name that leads to its hsmfs.
mkdir -p above/mnt-4
cp -r enc-2 enc-4
hsmsetup open --key-file "$KEY" enc-4 above/mnt-4
echo four >above/mnt-4/file
mv above moved
expect_exit 2 hsmsetup status moved/mnt-4
expect_sentence "was moved with a directory"
expect_exit 0 hsmsetup luksSuspend --all
mv moved above
# Which one it is that does not answer nobody can know then, but not that all is well either.
pid=$(hsmsetup status --json above/mnt-4 | jq .hsmfs_pid)
hsmsetup luksResume --key-file "$KEY" above/mnt-4
mv above moved
kill -STOP "$pid"
expect_exit 5 hsmsetup luksSuspend --all
kill -CONT "$pid"
mv moved above
hsmsetup luksSuspend above/mnt-4
for mountpoint in mnt-1 mnt-2 above/mnt-4; do
	same "state of $mountpoint" "$(state "$mountpoint")" suspended
	hsmsetup luksResume --key-file "$KEY" "$mountpoint"
done
same "content" "$(cat above/mnt-4/file)" four
hsmsetup close above/mnt-4

# One whose hsmfs does not answer keeps nobody else's keys.
pid=$(hsmsetup status --json mnt-1 | jq .hsmfs_pid)
kill -STOP "$pid"
for _ in $(seq 10); do # (on a machine where the other one may be slow to answer, too)
	expect_exit 5 hsmsetup luksSuspend --all
	grep -q "mnt-1 does not answer" err || die "$(cat err)"
	[ "$(state mnt-2)" != suspended ] || break
done
same "state" "$(state mnt-2)" suspended
kill -CONT "$pid"
hsmsetup close mnt-1
hsmsetup close mnt-2
