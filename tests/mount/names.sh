#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Names of all bytes, lengths and encodings, those that a volume uses itself and those its
# entries have; paths and symlink targets to their limits (tests/tools/names.c).
. "$WORK/tests/lib/common.sh"

new_volume
echo x >"$MNT/short"
mkdir "$MNT/$(printf 'long%.0s' {1..60})" # its backing entry has a side entry
mapfile -t own < <(cd "$ENC" && find . .hsmfs -mindepth 1 -maxdepth 1 -printf '%P\n')
[ ${#own[@]} -ge 5 ] || die "the backing store's names: ${own[*]}"

mkdir "$MNT/d" "$MNT/d/names"
names make "$MNT/d/names" "${own[@]}"
names change "$MNT/d/names" "${own[@]}"
cold_reopen
names check "$MNT/d/names" "${own[@]}"
mv "$MNT/d" "$MNT/e"
kill_all hsmfs
hsmsetup close "$MNT"
open_volume
names check "$MNT/e/names" "${own[@]}"
names remove "$MNT/e/names" "${own[@]}"
find "$MNT" -mindepth 1 -delete
close_volume
same "left in the volume" "$(find "$ENC" -mindepth 1 -maxdepth 1 ! -name '.hsmfs*')" ""
