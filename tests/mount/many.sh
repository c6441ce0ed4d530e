#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# A directory of 40,000 entries and a tree 1,000 deep: made, listed, looked up, removed; and
# the daemon's memory, which falls again.
. "$WORK/tests/lib/common.sh"

new_volume
hsmfs=$(pids_of hsmfs)
memory_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$hsmfs/status"
}
nr=40000
[ -z "$SANITIZED" ] || nr=5000
before=$(memory_kb)
mkdir "$MNT/many"
cd "$MNT/many"
seq -f 'file-number-%.0f' $nr | xargs touch
full=$(memory_kb)
same "listed" "$(find . -type f -name 'file-number-*' | wc -l)" $nr
same "sum of numbers" "$(find . -type f -printf '%f\n' | awk -F- '{ s += $3 } END { print s }')" $((nr * (nr + 1) / 2))
[ -e file-number-$nr ] || die "not found by name"
[ ! -e file-number-0 ] || die "found what is not there"
seq -f 'file-number-%.0f' $nr | xargs rm
same "left" "$(find . | wc -l)" 1
cd "$T"
rmdir "$MNT/many"
# (what was forgotten early, because the system needed memory, does not count)
peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$hsmfs/status")
tries=100
while after=$(memory_kb) && [ $((after - before)) -ge $(((peak - before) * 2 / 3)) ] && [ $((tries--)) -gt 0 ]; do
	sleep 0.1
done
echo "KiB of the daemon: $before, with $nr files $full, at most $peak, without $after"
if [ -z "$SANITIZED" ]; then
	[ $((peak - before)) -lt $((nr * 480 / 1024)) ] || die "more than 480 bytes a file, cached name included"
	[ $((after - before)) -lt $(((peak - before) * 2 / 3)) ] || die "memory does not fall"
fi

cd "$MNT"
for _ in $(seq 1000); do
	mkdir d
	cd d
done
echo deep >file
cd "$T"
same "deep" "$(find "$MNT" -name file -exec cat {} +)" deep
cold_reopen
same "deep" "$(find "$MNT" -name file -exec cat {} +)" deep
rm -r "$MNT/d"
same "left" "$(ls -A "$MNT")" ""
