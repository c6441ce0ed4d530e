#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# A file without a name takes room while it is open, and leaves nothing: not when it is
# closed, and not when hsmfs is killed.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root" # to see what hsmfs has open
new_volume
mkdir "$MNT/dir"
echo kept >"$MNT/dir/file"
hsmfs=$(pids_of hsmfs)
entries() {
	find "$ENC" -mindepth 1 -printf '%P\n' | sort
}
nameless_of_hsmfs() {
	find "/proc/$hsmfs/fd" -lname "$ENC/*(deleted)" | wc -l
}
mkfifo until said
start_nameless() {
	nameless "$MNT/dir" <until >said &
	tool=$!
	exec 3>until 4<said
	read -r word <&4
	same "the tool's word" "$word" ready
}
before=$(entries)

start_nameless
same "entries while it is open" "$(entries)" "$before"
[ "$(nameless_of_hsmfs)" -gt 0 ] || die "hsmfs has no such file"
exec 3>&-
wait "$tool"
tries=400
while [ "$(nameless_of_hsmfs)" -gt 0 ]; do
	[ $((tries--)) -gt 0 ] || die "the file is still there after its end"
	sleep 0.05
done

start_nameless
kill_all hsmfs
exec 3>&-
wait "$tool" || true
hsmsetup close "$MNT"
same "entries after the crash" "$(entries)" "$before"
open_volume
same "listed" "$(ls -A "$MNT/dir")" file
same "content" "$(cat "$MNT/dir/file")" kept
