#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Programs that are hard on a file system: fio's verified writes, four sqlite writers, rsync
# with everything, tar with every kind of file, editors that save by renaming and by mapping.
. "$WORK/tests/lib/common.sh"

new_volume

# sqlite: four writers, write-ahead log.
db=$MNT/db
sqlite3 "$db" 'PRAGMA journal_mode=WAL; CREATE TABLE t(w int, n int)' >/dev/null
pids=
for w in 1 2 3 4; do
	for n in $(seq 150); do echo "INSERT INTO t VALUES($w, $n);"; done |
		sqlite3 -cmd '.timeout 60000' "$db" >/dev/null &
	pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
same "sqlite rows" "$(sqlite3 "$db" 'SELECT count(*), sum(n) FROM t')" "600|45300"
same "sqlite" "$(sqlite3 "$db" 'PRAGMA integrity_check')" ok

# Every kind of file an ordinary user can make, with all that belongs to it.
mkdir -p tree/sub/empty
printf 'some text' >tree/sub/file
ln tree/sub/file tree/hard
ln -s sub/file tree/soft
ln -s /nowhere tree/dangling
mkfifo tree/fifo
truncate -s 10M tree/sparse
printf end | dd of=tree/sparse bs=1 seek=5M conv=notrunc status=none
random_bytes 3000000 1 >tree/random
setfattr -n user.comment -v 'a value' tree/sub/file tree/sub/empty 2>/dev/null || true
chmod 4751 tree/random
chmod 2775 tree/sub
find tree -exec touch -h -d '2005-06-07 08:09:10.111213141' {} +
touch -d '1999-12-31 23:59:59.123456789' tree/sub/file tree/sub/empty tree/fifo
touch -h -d '2001-02-03' tree/soft
listing() {
	(cd "$1" && find . -printf '%P %y %m %n %s %l %T@\n' | sed -E '/ d /s/ [0-9]+ [0-9]+  / - /' | sort)
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2)
	(cd "$1" && getfattr -d -m '^user\.' sub/file sub/empty 2>/dev/null)
}
listing tree >want
rsync -aHXS tree "$MNT/"
listing "$MNT/tree" | diff want - || die "rsync into the mount"
[ "$(du -k "$MNT/tree/sparse" | cut -f1)" -lt 10000 ] || die "a sparse file has become dense"
rsync -aHX "$MNT/tree/" back/
listing back | diff want - || die "rsync out of the mount"
same "rsync finds changes" "$(rsync -aHXi tree "$MNT/")" ""
tar -C "$MNT" --xattrs -cSf "$MNT/tar" tree
mkdir "$MNT/from-tar"
tar -C "$MNT/from-tar" --xattrs --xattrs-include='user.*' -xpf "$MNT/tar"
listing "$MNT/from-tar/tree" | diff want - || die "tar in the mount"
cp -a "$MNT/tree" "$MNT/copy"
listing "$MNT/copy" | diff want - || die "cp in the mount"

# Saving as editors do.
printf 'first\n' >"$MNT/edited"
for i in $(seq 20); do
	sed -i "1s/.*/round $i/" "$MNT/edited"
	same "edited" "$(cat "$MNT/edited")" "round $i"
done
if command -v vim >/dev/null; then
	for copy in yes no auto; do # in place; a new file renamed over it; as vim likes
		chmod 640 "$MNT/edited"
		vim -u NONE -es -c "set backup writebackup backupskip= swapfile fsync backupcopy=$copy" \
			-c "normal Gothe end of $copy" -c wq "$MNT/edited" || die "vim, backupcopy=$copy"
		same "vim" "$(tail -n 1 "$MNT/edited")" "the end of $copy"
		same "vim's mode" "$(stat -c %a "$MNT/edited")" 640
		[ "$(wc -l <"$MNT/edited~")" -lt "$(wc -l <"$MNT/edited")" ] || die "vim's backup"
	done
fi
perl -i.orig -pe 's/round/turn/' "$MNT/edited"
same "perl" "$(head -n 1 "$MNT/edited") $(head -n 1 "$MNT/edited.orig")" "turn 20 round 20"

# Random writes that are read back and compared, buffered, direct and mapped: at once, and
# after a remount.
verify() {
	local engine
	for engine in psync mmap 'psync --direct=1'; do
		# shellcheck disable=SC2086 # two words
		fio --name="${engine// /}" --directory="$MNT" --size=24M --bsrange=4k-64k --rw=randwrite \
			--verify=crc32c --verify_fatal=1 --randseed=7 --numjobs=2 --ioengine=$engine \
			--minimal "$1" >fio.out || die "fio $engine $1: $(cat fio.out)"
	done
}
verify --do_verify=1

cold_reopen
listing "$MNT/tree" | diff want - || die "after a remount"
listing "$MNT/copy" | diff want - || die "after a remount"
same "sqlite" "$(sqlite3 "$db" 'PRAGMA integrity_check')" ok
verify --verify_only=1
