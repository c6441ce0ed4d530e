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
