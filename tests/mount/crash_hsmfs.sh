#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# hsmfs is killed while tar extracts. What was closed before is intact, all can be read.
. "$WORK/tests/lib/common.sh"

format_volume
tar -C /usr/include -cf include.tar .
for delay in 0.2 0.5 1; do
	open_volume
	rm -rf "$MNT/include"
	mkdir "$MNT/include"
	tar -C "$MNT/include" -xvf include.tar >listing 2>tar.err &
	tar=$!
	sleep $delay
	# tar prints a name before it extracts it: all but the last are closed.
	cp listing listed
	kill_all hsmfs
	! wait $tar || die "tar was done before the kill: use a shorter delay"
	head -n -1 listed | grep -v '/$' >closed
	echo "$(wc -l <closed) files were closed"
	[ -s closed ]
	hsmsetup close "$MNT" || die "a dead mount cannot be closed"
	open_volume
	lost=0
	while read -r path; do
		[ -L "/usr/include/$path" ] || cmp "/usr/include/$path" "$MNT/include/$path" ||
			lost=$((lost + 1))
	done <closed
	same "closed files that were lost" $lost 0
	find "$MNT" -type f -exec cat {} + >/dev/null || die "files cannot be read after the crash"
	echo "written after the crash" >"$MNT/after"
	cold_reopen
	same "content" "$(cat "$MNT/after")" "written after the crash"
	close_volume
done
