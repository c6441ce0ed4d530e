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

# A crash while a file grew can leave a last page that does not say it is the last. It is
# settled with what is there, also where the file is not writable, as git's objects are.
open_volume
sizes=(40001 50003)
modes=(644 444)
for i in 0 1; do
	(
		umask $((777 - modes[i]))
		random_bytes "${sizes[i]}" settle >"$MNT/unsettled-${modes[i]}"
	)
	sync "$MNT/unsettled-${modes[i]}"
done
kill_all hsmfs
hsmsetup close "$MNT"
for size in "${sizes[@]}"; do
	backing=$(backing_of_size "$size")
	[ -f "$backing" ] || die "backing files of $size bytes: $backing"
	as_owner=$(stat -c %a "$backing")
	chmod 600 "$backing"
	truncate -s $((5 * 4096)) "$backing"
	chmod "$as_owner" "$backing"
done
open_volume
for mode in "${modes[@]}"; do
	cat "$MNT/unsettled-$mode" >settled || die "mode $mode is not settled"
	cmp settled <(random_bytes $((5 * 4064 - 32)) settle)
done
cold_reopen
for mode in "${modes[@]}"; do
	cmp "$MNT/unsettled-$mode" <(random_bytes $((5 * 4064 - 32)) settle)
done
