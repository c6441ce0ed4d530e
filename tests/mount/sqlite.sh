#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# 10,000 inserts, in both journal modes.
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
