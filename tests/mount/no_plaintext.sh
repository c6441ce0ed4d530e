#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Neither a name nor 16 bytes of content nor a link's target is in the volume's directory.
. "$WORK/tests/lib/common.sh"

new_volume
name=Unmistakable-Name
target=unmistakable-target-of-a-link
mkdir -p "$MNT/$name-directory/$name-deeper"
long=$(printf "$name-%0230d" 7)
for f in "$name" "$name-directory/$name" "$name-directory/$name-deeper/$long"; do
	yes 'sixteen bytes of plain text, and more of them' | head -c 70000 >"$MNT/$f"
done
printf 'sixteen bytes and a few' >"$MNT/$name-short"
ln -s "$target" "$MNT/$name-link"
ln -s "$(printf "$target%02000d" 7)" "$MNT/$name-long-link"
head -c 100000 /dev/zero >"$MNT/$name-zeros"
cp "$WORK"/tests/lib/common.sh "$MNT/$name-real"
close_volume

find "$ENC" -printf '%P\n%l\n' >listing
! grep -qi "unmistakable\|$target\|directory\|deeper" listing || die "a name is in clear"
! grep -rqi "unmistakable" "$ENC" || die "a name is in clear within a file"

# Every 16 aligned bytes of the real file, and of what is above.
{
	cat "$WORK"/tests/lib/common.sh
	yes 'sixteen bytes of plain text, and more of them' | head -c 4096
} >plain
find "$ENC" -type f -exec cat {} + | xxd -p | tr -d '\n' >cipher.hex
xxd -p -c 16 plain | grep -E '^.{32}$' | sort -u >pieces
[ "$(wc -l <pieces)" -gt 100 ]
! grep -oFf pieces cipher.hex | head -n 1 | grep -q . || die "16 bytes of content are in clear"
# Equal plain pages do not look alike, nor do zeros stay zeros. (Alike by design: the words
# behind the file id, which say nothing but the format.)
find "$ENC" -path "$ENC/.hsmfs" -prune -o -type f -exec xxd -p -c 16 {} \; |
	grep -v '^0[01]00000001000000' | sort | uniq -d >twice
! grep -q . twice || die "equal ciphertext: $(head -n 3 twice)"

# Equal names in two directories have different ciphertexts.
same "entries" "$(find "$ENC" ! -path "$ENC/.hsmfs*" -printf '%f\n' | grep -v '^\.' | sort | uniq -d)" ""
