#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# 10,000 inserts, in both journal modes; four writers, and kill -9 in the middle.
. "$WORK/tests/lib/common.sh"

new_volume
db=$MNT/test.db
inserts() {
	echo "BEGIN;"
	for i in $(seq "$1" "$2"); do
		echo "INSERT INTO t VALUES($i, hex(randomblob(40)));"
		[ $((i % 100)) -ne 0 ] || echo "COMMIT; BEGIN;"
	done
	echo "COMMIT;"
}
sqlite3 "$db" 'CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);'
inserts 1 5000 | sqlite3 "$db"
same "journal mode" "$(sqlite3 "$db" 'PRAGMA journal_mode=WAL;')" wal
inserts 5001 10000 | sqlite3 "$db"
# Two writers at once, which sqlite's locks must keep apart.
inserts 10001 10500 | sqlite3 -cmd '.timeout 60000' "$db" &
inserts 10501 11000 | sqlite3 -cmd '.timeout 60000' "$db"
wait $!
for round in before after; do
	same "$round: integrity" "$(sqlite3 "$db" 'PRAGMA integrity_check;')" ok
	same "$round: rows" "$(sqlite3 "$db" 'SELECT count(*), sum(id) FROM t;')" "11000|60505500"
	[ $round = after ] || cold_reopen
done

# Each number is printed after its commit: what was printed must be there.
for mode in delete wal; do
	db=$MNT/$mode.db
	sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(n INTEGER PRIMARY KEY, x)" >/dev/null
	for round in 1 2 3; do
		last=$(sqlite3 "$db" 'SELECT coalesce(max(n), 0) FROM t')
		: >printed # the background may come to that only after it is looked at
		seq $((last + 1)) $((last + 100000)) |
			sed 's/.*/INSERT INTO t VALUES(&, hex(randomblob(300))); SELECT &;/' |
			stdbuf -oL sqlite3 -bail "$db" >>printed 2>/dev/null &
		writer=$!
		until [ "$(wc -l <printed)" -ge $((20 * round)) ]; do
			kill -0 $writer || die "sqlite3 has ended by itself"
			sleep 0.02
		done
		kill -9 $writer
		wait $writer || true
		same "$mode, kill $round: integrity" "$(sqlite3 "$db" 'PRAGMA integrity_check')" ok
		printed=$(tail -n 1 printed)
		found=$(sqlite3 "$db" 'SELECT max(n) FROM t')
		[ "$found" -ge "$printed" ] || die "$mode, kill $round: $found, though $printed was committed"
		same "$mode, kill $round: rows" "$(sqlite3 "$db" 'SELECT count(*) FROM t')" "$found"
	done

	pids=
	for w in 1 2 3 4; do
		seq 25 | sed "s/.*/INSERT INTO t(x) VALUES('writer $w');/" |
			sqlite3 -cmd '.timeout 100000' "$db" &
		pids="$pids $!"
	done
	for pid in $pids; do wait "$pid"; done
done
cold_reopen
for mode in delete wal; do
	db=$MNT/$mode.db
	same "$mode: four writers" "$(sqlite3 "$db" "SELECT count(*) FROM t WHERE x LIKE 'writer%'")" 100
	same "$mode: integrity" "$(sqlite3 "$db" 'PRAGMA integrity_check')" ok
done
