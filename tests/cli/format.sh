#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Formatting: its names, where the passphrase comes from, what it leaves alone.
. "$WORK/tests/lib/common.sh"

# The three names make the same thing; a fresh volume opens and is empty.
mkdir a b c "$MNT"
hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" a
hsmsetup format -q --key-file "$KEY" "${CHEAP[@]}" b
mkfs.hsmfs -q --key-file "$KEY" "${CHEAP[@]}" c
for v in a b c; do
	hsmsetup open --key-file "$KEY" "$v" "$MNT"
	same "files in a new volume" "$(ls -A "$MNT")" ""
	hsmsetup close "$MNT"
done
uuids=$(for v in a b c; do hsmsetup luksUUID $v; done | sort -u | wc -l)
same "different uuids" "$uuids" 3

# Nobody else may list the volume's own folder, and no passphrase lies in it.
! grep -rqF "$PASS" a b c state run || die "the passphrase is on disk"

# A second format would destroy the first volume.
before=$(find a -type f -exec sha256sum {} + | sort)
expect_exit 5 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" a
expect_sentence a
same "volume after refused format" "$(find a -type f -exec sha256sum {} + | sort)" "$before"

# A directory with other files in it is not taken over.
mkdir full
echo mine >full/file
expect_exit 5 hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" full
expect_sentence empty
same "files left" "$(ls -A full)" file

# From standard input the passphrase ends at the first newline...
mkdir stdin
printf 'first line\nsecond line\n' | hsmsetup luksFormat -q "${CHEAP[@]}" stdin
printf 'first line\n' | hsmsetup open stdin "$MNT"
hsmsetup close "$MNT"
printf 'first line' | hsmsetup open stdin "$MNT"
hsmsetup close "$MNT"
expect_exit 2 hsmsetup open stdin "$MNT" < <(printf 'first line\nsecond line\n' | tr '\n' ' ')

# ... while key files are binary, newlines and zeros included, also as "-".
mkdir bin
printf 'a\nb\0c\n' >keyfile
hsmsetup luksFormat -q --key-file keyfile "${CHEAP[@]}" bin
hsmsetup open --key-file - bin "$MNT" <keyfile
hsmsetup close "$MNT"
printf 'a\nb\0c' >shorter
expect_exit 2 hsmsetup open --key-file shorter bin "$MNT"
printf 'a\nb' >prefix
expect_exit 2 hsmsetup open --key-file prefix bin "$MNT"
! is_mounted "$MNT" || die "mounted with a wrong key"

# No passphrase at all is refused.
mkdir none
expect_exit 1 hsmsetup luksFormat -q "${CHEAP[@]}" none </dev/null
same "nothing made" "$(ls -A none)" ""

# The recovery key opens it too; without one if so wished.
mkdir rec
hsmsetup luksFormat -q --key-file "$KEY" --recovery-file recovery "${CHEAP[@]}" rec >out
same "mode of the recovery file" "$(stat -c %a recovery)" 600
hsmsetup open rec "$MNT" <recovery
echo text >"$MNT/file"
hsmsetup close "$MNT"
mkdir rec2
hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" rec2 >out
grep -E '^ +[A-Za-z0-9-]{30,}$' out | tr -d ' ' >recovery2
[ -s recovery2 ] || die "no recovery key shown: $(cat out)"
hsmsetup open rec2 "$MNT" <recovery2
hsmsetup close "$MNT"
expect_exit 2 hsmsetup open rec "$MNT" <recovery2
mkdir rec3
hsmsetup luksFormat -q --key-file "$KEY" --no-recovery "${CHEAP[@]}" rec3 >out
! [ -s out ] || die "says something though there is nothing to say: $(cat out)"

# Costs: several lanes, and measured ones.
mkdir lanes measured
hsmsetup luksFormat -q --key-file "$KEY" --no-recovery --pbkdf-memory 256 \
	--pbkdf-force-iterations 2 --pbkdf-parallel 4 lanes
hsmsetup luksFormat -q --key-file "$KEY" --no-recovery --iter-time 50 measured
for v in lanes measured; do
	hsmsetup open --key-file "$KEY" "$v" "$MNT"
	hsmsetup close "$MNT"
done
