#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# What may be asked of caches, workers and polling changes speed, and nothing else: eight
# clients' files are the same as on a plain directory, also after a suspension in the middle
# and on a single core. Wrong values are refused.
. "$WORK/tests/lib/common.sh"

# client DIR N: the same to the letter wherever DIR is
client() {
	local dir=$1/$2 i
	mkdir "$dir"
	for i in $(seq 6); do
		random_bytes $((i * 7001)) "$2-$i" >"$dir/$i"
		random_bytes 5000 "$2+$i" | dd of="$dir/$i" bs=1237 seek="$i" conv=notrunc status=none
		printf 'a line of %d\n' "$i" >>"$dir/log"
		ln -s "$i" "$dir/link-$i"
	done
	random_bytes 65536 "$2" | dd of="$dir/1" bs=4096 oflag=direct conv=notrunc status=none 2>/dev/null ||
		random_bytes 65536 "$2" | dd of="$dir/1" bs=4096 conv=notrunc status=none
	truncate -s 3000 "$dir/2"
	truncate -s 90000 "$dir/2"
	mv "$dir/3" "$dir/three"
	rm "$dir/4"
	/usr/bin/python3 - "$dir/5" <<-'PYTHON'
		import mmap, sys
		with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
		    memory[4000:4200] = b"m" * 200
		    assert memory[4199:4201] == b"m" + memory[4200:4201]
		    file.seek(4100)
		    assert file.read(1) == b"m", "a read does not see what was written through a map"
	PYTHON
}

# clients DIR: eight at once
clients() {
	local i pids=()
	for i in $(seq 8); do
		client "$1" "$i" &
		pids+=($!)
	done
	[ -z "${2:-}" ] || "$2"
	for i in "${pids[@]}"; do
		wait "$i" || die "a client failed with -o $options"
	done
}

suspend_and_resume() {
	sleep 0.2
	hsmsetup luksSuspend "$MNT"
	hsmsetup luksResume --key-file "$KEY" "$MNT"
}

mtime() {
	stat -c %.9Y "$1"
}

# check OPTIONS [COMMAND...]: COMMAND runs hsmsetup
check() {
	local dir before
	options=$1
	shift
	dir=$MNT/dir-$options
	"$@" hsmsetup open --key-file "$KEY" -o "$options" "$ENC" "$MNT"
	mkdir "$dir"
	clients "$dir" suspend_and_resume
	diff -r --no-dereference plain "$dir" || die "files differ with -o $options"

	# A write moves the time and the size at once, and an old time that is set stays.
	before=$(mtime "$dir/1/log")
	sleep 0.02
	printf x >>"$dir/1/log"
	[ "$(mtime "$dir/1/log")" != "$before" ] || die "-o $options: a write did not move mtime"
	before=$(mtime "$dir/1/log")
	touch -d @1000000000 "$dir/1/three"
	same "old time" "$(stat -c %Y "$dir/1/three")" 1000000000
	close_volume
	open_volume
	same "-o $options: mtime after a remount" "$(mtime "$dir/1/log")" "$before"
	same "old time after a remount" "$(stat -c %Y "$dir/1/three")" 1000000000
	truncate -s -1 "$dir/1/log"
	diff -r --no-dereference plain "$dir" || die "files differ after -o $options"
	rm -r "$dir"
	close_volume
}

options=none
mkdir plain "$MNT"
clients plain
format_volume
for tried in workers=1 workers=8 direct_io cache=none,workers=4 cache=writethrough poll=off poll=500; do
	check $tried
done

# One core for everybody.
kill_all hsmd
first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
taskset -cp "$first" $$ >out
for tried in rw poll=off,workers=4; do
	check $tried taskset -c "$first"
done

for wrong in workers=0 workers=9 workers=two poll=0 poll=5000 poll=on cache=always cache=; do
	expect_exit 1 hsmsetup open --key-file "$KEY" -o $wrong "$ENC" "$MNT"
	expect_sentence "mount option $wrong "
done
! is_mounted "$MNT" || die "mounted"
