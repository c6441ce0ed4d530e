#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a program inherits from whoever starts it.
. "$WORK/tests/lib/common.sh"

# Who ignores the end of children hands that down; hsmsetup waits for its own all the same.
ignoring() {
	perl -e '$SIG{CHLD} = "IGNORE"; exec @ARGV or die' -- "$@"
}
mkdir "$ENC" "$MNT"
ignoring hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
ignoring hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
is_mounted "$MNT" || die "not mounted"
ignoring hsmsetup close "$MNT"
! is_mounted "$MNT" || die "still mounted"
code=0
ignoring hsmd --self-test >report || code=$?
[ $code -eq 0 ] || [ $code -eq 2 ] || die "the self-test ended with $code: $(cat report)"

# What it makes is for its user, and for him it is, whatever would be taken from it.
mkdir masked
(
	umask 0777
	export HSMFS_RUNTIME_DIR=$T/masked/run HSMFS_STATE_DIR=$T/masked/state
	hsmsetup luksFormat -q --key-file "$KEY" --recovery-file masked/key "${CHEAP[@]}" "$MNT"
	hsmsetup luksAddKey --key-file masked/key --new-keyfile "$KEY" "${CHEAP[@]}" "$MNT"
)
same "modes" "$(stat -c %a masked/run masked/key "$MNT/.hsmfs" "$MNT/.hsmfs/header" | tr '\n' ' ')" "700 600 700 600 "

# A relative directory would be another one to each process.
kill_all hsmd
for variable in HSMFS_RUNTIME_DIR HSMFS_STATE_DIR; do
	expect_exit 1 env $variable=relative hsmsetup token list
	expect_sentence "$variable.* absolute"
	[ ! -e relative ] || die "$variable: made a directory nobody asked for"
done
expect_exit 0 env -u HSMFS_STATE_DIR XDG_STATE_HOME=relative hsmsetup token list
[ ! -e relative ] || die "XDG_STATE_HOME: made a directory nobody asked for"
[ -d "$HOME/.local/state/hsmfs/tpm" ] || die "the state is not where it is without the variable"
