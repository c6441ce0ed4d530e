#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What can be wrong: each has its exit code and one sentence, and changes nothing on disk.
. "$WORK/tests/lib/common.sh"

format_volume
mkdir "$MNT"
fingerprint() {
	find "$@" -printf '%p %y %m %s %l %T@\n' | sort
	find "$@" -type f -exec sha256sum {} + 2>/dev/null | sort
}
before=$(fingerprint "$ENC")
unchanged() {
	same "volume after: $1" "$(fingerprint "$ENC")" "$before"
	! is_mounted "$MNT" || die "mounted after: $1"
}

printf 'wrong horse' >wrong
expect_exit 2 hsmsetup open --key-file wrong "$ENC" "$MNT"
expect_sentence passphrase
unchanged "wrong passphrase"

mkdir plain
expect_exit 1 hsmsetup open --key-file "$KEY" plain "$MNT"
expect_sentence 'not a.* volume'
same "nothing made" "$(ls -A plain)" ""

expect_exit 4 hsmsetup open --key-file "$KEY" missing "$MNT"
expect_sentence missing
expect_exit 4 hsmsetup open --key-file "$KEY" "$ENC" missing
expect_sentence missing
[ ! -e missing ] || die "made a directory nobody asked for"
expect_exit 4 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" missing
expect_sentence missing
expect_exit 1 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" ''
expect_sentence 'is empty; it wants'
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" ''
expect_sentence 'is empty; it wants'
expect_exit 4 hsmsetup open --key-file missing "$ENC" "$MNT"
expect_sentence missing
unchanged "missing paths"

mkdir nonempty
echo text >nonempty/file
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" nonempty
expect_sentence empty
unchanged "mount point not empty"

open_volume
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence mounted
mkdir other
expect_exit 5 hsmsetup open --key-file "$KEY" "$ENC" other
expect_sentence "in use\|mounted\|busy"
! is_mounted "$T/other" || die "mounted twice"
echo still >"$MNT/works"
same "the first mount" "$(cat "$MNT/works")" still
# Busy: somebody stands in it.
(cd "$MNT" && exec sleep 60) &
sleeper=$!
sleep 0.3
expect_exit 5 hsmsetup close "$MNT"
expect_sentence "busy\|in use"
is_mounted "$MNT" || die "closed while in use"
kill $sleeper
wait $sleeper || true
close_volume
expect_exit 4 hsmsetup close "$MNT"
expect_sentence "no hsmfs volume is mounted"
expect_exit 4 hsmsetup status "$MNT"
expect_exit 4 hsmsetup status missing

# Damaged headers. One copy may be lost; with both gone it says so.
cp -a "$ENC" saved
before=$(fingerprint "$ENC")
echo '{"garbage' | tee "$ENC/.hsmfs/header" >"$ENC/.hsmfs/header.backup"
damaged=$(fingerprint "$ENC")
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence header
same "damaged volume" "$(fingerprint "$ENC")" "$damaged"
head -c 3000 /dev/urandom | tee "$ENC/.hsmfs/header" >"$ENC/.hsmfs/header.backup"
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence header
: >"$ENC/.hsmfs/header"
: >"$ENC/.hsmfs/header.backup"
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence header

# A volume of a later version is left alone.
for copy in header header.backup; do
	jq '.hsmfs.format = 99' "saved/.hsmfs/$copy" >"$ENC/.hsmfs/$copy"
done
damaged=$(fingerprint "$ENC")
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence "later\|newer\|version"
same "later volume" "$(fingerprint "$ENC")" "$damaged"
rm -rf "$ENC"
cp -a saved "$ENC"
before=$(fingerprint "$ENC")

# A state directory that cannot be used.
kill_all hsmd
for mode in 000 500; do
	mkdir state-$mode
	chmod $mode state-$mode
	if [ "$(id -u)" -ne 0 ]; then
		expect_exit 2 env HSMFS_STATE_DIR="$T/state-$mode" hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
		expect_sentence "HSMFS_STATE_DIR\|$T/state-$mode"
		unchanged "state directory $mode"
	fi
	chmod 700 state-$mode
done
echo file >state-file
expect_exit 1 env HSMFS_STATE_DIR="$T/state-file" hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence "HSMFS_STATE_DIR\|$T/state-file"
unchanged "state directory is a file"

# Another HSM cannot open it, and says which one is wanted.
mkdir other-state
expect_exit 2 env HSMFS_STATE_DIR="$T/other-state" hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence TPM
unchanged "another TPM"
kill_all hsmd

# Arguments.
expect_exit 1 hsmsetup
expect_exit 1 hsmsetup frobnicate
expect_exit 1 hsmsetup open
expect_exit 1 hsmsetup open "$ENC"
expect_exit 1 hsmsetup open "$ENC" "$MNT" surplus
expect_exit 1 hsmsetup open --frobnicate "$ENC" "$MNT"
expect_exit 1 hsmsetup luksFormat -q --key-file "$KEY" --pbkdf-memory junk "$T/plain"
expect_exit 1 hsmsetup luksFormat -q --key-file "$KEY" --pbkdf-memory -5 "$T/plain"
expect_exit 1 hsmsetup luksFormat -q --key-file "$KEY" --pbkdf-memory 1048576 \
	--pbkdf-force-iterations 257 "$T/plain"
expect_sentence '--pbkdf-force-iterations is at most 256'
unchanged "bad arguments"
same "nothing made" "$(ls -A plain)" ""
# A handle that is dead on arrival is no use to anybody.
expect_exit 1 timeout 60 hsmd --handle-lifetime 0
expect_sentence '--handle-lifetime wants a number from 1'
echo file >afile
expect_exit 4 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" afile
expect_exit 4 hsmsetup open --key-file "$KEY" "$ENC" afile
unchanged "not directories"

# And after all that it opens.
open_volume
same "content" "$(cat "$MNT/works")" still
