#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A tar of /usr/include: extracted, read back after the HSM and the mount began anew.
. "$WORK/tests/lib/common.sh"

new_volume
source=/usr/include
tar -C "$source" -cf include.tar .
mkdir "$MNT/include"
tar -C "$MNT/include" -xf include.tar
diff -r --no-dereference "$source" "$MNT/include"
cold_reopen
diff -r --no-dereference "$source" "$MNT/include"
left=$(rsync -nac --delete --itemize-changes "$source/" "$MNT/include/")
same "what rsync would change" "$left" ""
same "files found" "$(find "$MNT/include" | wc -l)" "$(find "$source" | wc -l)"

# cp -a, both ways.
biggest=$(du -d1 "$source" | sort -n | tail -n 2 | head -n 1 | cut -f2)
cp -a "$biggest" "$MNT/copy"
cp -a "$MNT/copy" "$T/back"
diff -r --no-dereference "$biggest" "$T/back"
rm -rf "$MNT/copy" "$MNT/include"
same "left after rm -rf" "$(ls -A "$MNT")" ""
close_volume
# Nothing but the volume's own entries is left behind either.
same "left in the volume" "$(find "$ENC" -mindepth 1 -maxdepth 1 ! -name '.hsmfs*')" ""
