#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# The README's first command on a clone, without a terminal, twice.
. "$WORK/tests/lib/common.sh"

[ -z "$SANITIZED" ] || skip "builds without sanitizers anyway"
git clone -q "$WORK/repo.git" clone
cd clone
export CFLAGS=-O0
for round in first second; do
	make quickstart >"$T/out" 2>&1 </dev/null || die "$round: $(tail -n 30 "$T/out")"
	is_mounted "$HOME/hsmfs-demo" || die "$round: not mounted"
	grep -q . "$HOME"/hsmfs-demo/* || die "$round: nothing copied in"
	grep -qi ciphertext "$T/out" || die "$round: shows no ciphertext"
	grep -q 'hsmsetup close' "$T/out" || die "$round: does not say how to close"
	grep -q 'hsmsetup open' "$T/out" || die "$round: does not say how to reopen"
done
[ -d "$HOME/hsmfs-demo.enc/.hsmfs" ]
key=$(find "$HOME" -name 'hsmfs-demo.key')
same "mode of the generated key" "$(stat -c %a "$key")" 600

# What it says works: close, and open again with the key file.
PATH=$PWD/build/bin:$PATH
hsmsetup close "$HOME/hsmfs-demo"
hsmsetup open --key-file "$key" "$HOME/hsmfs-demo.enc" "$HOME/hsmfs-demo"
grep -q . "$HOME"/hsmfs-demo/*
hsmsetup close "$HOME/hsmfs-demo"
make quickstart >"$T/out" 2>&1 </dev/null || die "third: $(tail -n 30 "$T/out")"
hsmsetup close "$HOME/hsmfs-demo"
