#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# PostgreSQL in the mount: initdb, a load of 15 seconds (LONG=4: a minute), kill -9 in the
# middle of it, recovery, a remount.
. "$WORK/tests/lib/common.sh"

bin=$(echo /usr/lib/postgresql/*/bin | tr ' ' '\n' | tail -n 1)
[ -x "$bin/pgbench" ] || skip "PostgreSQL is not installed"
[ "$(id -u)" -ne 0 ] || skip "PostgreSQL does not run as root"
[ -z "$SANITIZED" ] || skip "too slow with sanitizers"

new_volume
data=$MNT/data
sql() {
	"$bin/psql" -h "$T/run" -d postgres -qAt "$@"
}
start() {
	"$bin/pg_ctl" -D "$data" -s -w -t 60 -l "$T/log" \
		-o "-k $T/run -c listen_addresses= -c checkpoint_timeout=30s" start ||
		die "PostgreSQL does not start: $(tail "$T/log")"
}
"$bin/initdb" -D "$data" --auth=trust --data-checksums >/dev/null
start
"$bin/pgbench" -h "$T/run" -i -q -s 3 postgres 2>/dev/null
sql -c 'CREATE TABLE acknowledged(n int PRIMARY KEY)'
"$bin/pgbench" -h "$T/run" -c 4 -T $((15 * LONG)) postgres >bench 2>&1 &
load=$!
# Each number is told to us only after its commit.
for i in $(seq $((300 * LONG))); do
	sql -c "INSERT INTO acknowledged VALUES ($i)" || break
	echo "$i" >last
done 2>/dev/null &
wait $!
kill -9 "$(head -n 1 "$data/postmaster.pid")"
wait $load || true
for pid in $(pids_of postgres); do # its orphans
	wait_gone "$pid"
done
rm -f "$data/postmaster.pid"

start
same "commits" "$(sql -c 'SELECT count(*), max(n) FROM acknowledged')" "$(cat last)|$(cat last)"
same "balance" "$(sql -c 'SELECT (SELECT sum(tbalance) FROM pgbench_tellers) =
	(SELECT sum(bbalance) FROM pgbench_branches)')" t
"$bin/pgbench" -h "$T/run" -c 4 -t 200 postgres | grep -E 'tps|latency'
sql -c 'VACUUM FULL' -c CHECKPOINT
"$bin/pg_ctl" -D "$data" -s -w -m fast stop
cold_reopen
"$bin/pg_checksums" --check -D "$data" | grep -q 'Bad checksums: *0' || die "bad checksums"
start
same "rows" "$(sql -c 'SELECT count(*) FROM pgbench_accounts')" 300000
"$bin/pg_ctl" -D "$data" -s -w -m fast stop
close_volume
