#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 300
# Suspending under load: eight writers wait and none gets an error; meanwhile nothing of a
# known file is in hsmfs' memory, nor does the kernel have it; afterwards all data is right.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"

new_volume
hsmfs=$(pids_of hsmfs)
marker="a-marker-that-is-in-a-file-$RANDOM$RANDOM"
yes "$marker" | head -n 60000 >"$MNT/known"
sync "$MNT/known"

# write_on N: files of its own until $T/enough is there, each synced and counted
write_on() {
	local i=0
	mkdir "$MNT/$1"
	until [ -e enough ]; do
		random_bytes 150000 "$1-$i" >"$MNT/$1/$i"
		[ $((i % 2)) -eq 0 ] || sync "$MNT/$1/$i"
		i=$((i + 1))
		echo $i >"count-$1.new"
		mv "count-$1.new" "count-$1"
		sleep 0.02 # not so many that comparing them takes long
	done
}
counts() {
	local i
	for i in $(seq 8); do
		cat "count-$i" 2>/dev/null || echo 0
	done
}
# Until every writer has done more than COUNT...
wait_more_than() {
	local i
	for i in $(seq 8); do
		until [ "$(cat "count-$i" 2>/dev/null || echo 0)" -gt "$1" ]; do
			kill -0 "${writers[$((i - 1))]}" 2>/dev/null ||
				die "writer $i has ended: $(cat "err-$i")"
			sleep 0.05
		done
		shift
	done
}
# (under a sanitizer memory is more than can be searched)
find_marker() {
	memsearch find "$hsmfs" marker
}
# The search finds what is there.
expect_marker() {
	local tries=50
	until dd if="$MNT/known" of=/dev/null iflag=direct bs=1M status=none && find_marker >out; do
		[ $((tries--)) -gt 0 ] || die "the search finds nothing that is there"
	done
}
# Each writer still counts what it had written before, and then nothing more.
expect_standstill() {
	local tries=60
	mapfile -t before < <(counts)
	sleep 1
	while [ "$(counts)" != "$(printf '%s\n' "${before[@]}")" ]; do
		[ $((tries--)) -gt 0 ] || die "the writers go on"
		mapfile -t before < <(counts)
		sleep 1
	done
}
# What a thread has not wiped yet because it does not run, it does when it runs.
expect_no_marker() {
	local tries=50 code=0
	[ -z "$SANITIZED" ] || return 0
	find_marker >out || code=$?
	while [ $code -eq 0 ]; do
		[ $((tries--)) -gt 0 ] || die "$(cat out)"
		sleep 0.2
		find_marker >out || code=$?
	done
	same "memsearch's exit code" $code 1
}
printf '%s marker\n' "$(printf %s "$marker" | xxd -p | tr -d '\n')" >marker

writers=()
for i in $(seq 8); do
	write_on "$i" 2>"err-$i" &
	writers+=($!)
done
wait_more_than 0 0 0 0 0 0 0 0

for round in 1 2; do
	exec 5<"$MNT/known"
	cmp "$MNT/known" <(yes "$marker" | head -n 60000)
	[ -n "$SANITIZED" ] || [ "$round" -gt 1 ] || expect_marker
	hsmsetup luksSuspend "$MNT"
	same "state" "$(hsmsetup status --json "$MNT" | jq -r .state)" suspended
	expect_no_marker
	# By a descriptor from before and by a new one: nothing comes.
	timeout 1 cat <&5 >got || true
	timeout 1 cat "$MNT/known" >>got || true
	same "bytes read while suspended" "$(stat -c %s got)" 0
	exec 5<&-
	expect_standstill
	expect_no_marker
	hsmsetup luksResume --key-file "$KEY" "$MNT"
	wait_more_than "${before[@]}"
done
touch enough
for i in $(seq 8); do
	wait "${writers[$((i - 1))]}" || die "writer $i: $(cat "err-$i")"
	[ ! -s "err-$i" ] || die "writer $i: $(cat "err-$i")"
done

check_all() {
	local i n
	cmp "$MNT/known" <(yes "$marker" | head -n 60000)
	for i in $(seq 8); do
		for n in $(seq 0 $(($(cat "count-$i") - 1))); do
			cmp "$MNT/$i/$n" <(random_bytes 150000 "$i-$n")
		done
	done
}
check_all
cold_reopen
check_all
