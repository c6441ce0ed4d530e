# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For tests that work on volumes. tests/run gives each test a folder $T of its own, which
# is also the working directory, an HSM of its own and nothing on standard input.
set -eu

ENC=$T/enc  # the volume
MNT=$T/mnt  # where it is mounted
KEY=$T/key  # its passphrase as a key file
PASS='correct horse battery staple'
CHEAP=(--pbkdf-memory 64 --pbkdf-force-iterations 1 --pbkdf-parallel 1)
printf %s "$PASS" >"$KEY"

die() {
	echo "FAILED: $*" >&2
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

trap 'echo "FAILED: line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND" >&2' ERR
set -o errtrace

# expect_exit CODE COMMAND...: leaves its output in $T/out and $T/err.
expect_exit() {
	local want=$1 code=0
	shift
	"$@" >"$T/out" 2>"$T/err" || code=$?
	if [ "$code" -ne "$want" ]; then
		sed 's/^/  out: /' "$T/out" >&2
		sed 's/^/  err: /' "$T/err" >&2
		die "exit $code, not $want: $*"
	fi
}

# One clear sentence on standard error that has the word(s).
expect_sentence() {
	[ "$(wc -l <"$T/err")" -eq 1 ] || die "not one line: $(cat "$T/err")"
	grep -qi -- "$1" "$T/err" || die "does not say '$1': $(cat "$T/err")"
}

# same WHAT A B
same() {
	[ "$2" = "$3" ] || die "$1: '$2' is not '$3'"
}

is_mounted() {
	awk -v m="$1" '$5 == m { found = 1 } END { exit !found }' /proc/self/mountinfo
}

format_volume() {
	mkdir -p "$ENC"
	hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
}

# open_volume [OPTION...]
open_volume() {
	mkdir -p "$MNT"
	hsmsetup open --key-file "$KEY" "$@" "$ENC" "$MNT"
	is_mounted "$MNT" || die "open succeeded, but nothing is mounted on $MNT"
}

# Who has just ended, or was killed, may not have let go of its files yet: exit code 5.
close_volume() {
	local tries=300 code
	while :; do
		code=0
		hsmsetup close "$MNT" 2>"$T/close.err" || code=$?
		if [ $code -ne 5 ] || [ $((tries--)) -eq 0 ]; then
			break
		fi
		sleep 0.1
	done
	[ $code -eq 0 ] || die "close: exit $code: $(cat "$T/close.err")"
	! is_mounted "$MNT" || die "close succeeded, but $MNT is still mounted"
}

new_volume() {
	format_volume
	open_volume "$@"
}

# Our processes called NAME: tests/run's supervisor adopts every daemon of this test.
pids_of() {
	pgrep -P "$PPID,$$" -x "$1" || true
}

wait_gone() {
	local pid=$1 tries=1200
	while [ $((tries--)) -gt 0 ]; do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.05
	done
	die "process $pid does not end"
}

# Kills a process, whatever it waits in; it may stay a zombie. False if it cannot be killed.
kill_waiting() {
	local pid=$1 tries=600
	kill -KILL "$pid"
	while [ $((tries--)) -gt 0 ]; do
		case $(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null || true) in
		'' | Z) return 0 ;;
		esac
		sleep 0.1
	done
	return 1
}

# kill_all NAME [SIGNAL]
kill_all() {
	local pid
	for pid in $(pids_of "$1"); do
		kill "-${2:-KILL}" "$pid"
		wait_gone "$pid"
	done
}

# Another run of hsmd and hsmfs, as after logging out.
cold_reopen() {
	close_volume
	kill_all hsmd
	open_volume "$@"
}

# random_bytes BYTES SEED: repeatable bytes that do not compress.
random_bytes() {
	openssl enc -aes-128-ctr -pass "pass:$2" -pbkdf2 -iter 1 -nosalt -in /dev/zero 2>/dev/null |
		head -c "$1"
}

# The backing file of the volume whose size is that of a file with so many plain bytes.
backing_of_size() {
	local plain=$1 last size
	last=$(((plain - 1 + 32) / 4064))
	size=$((plain + 32 * (last + 1) + 32))
	find "$ENC" -path "$ENC/.hsmfs" -prune -o -type f -size "${size}c" -print
}
