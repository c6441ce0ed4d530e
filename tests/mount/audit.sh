#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# The audit log tells what happened, never what was in it, and shows who changed it.
. "$WORK/tests/lib/common.sh"

LOG=$HSMFS_STATE_DIR/audit.jsonl
event() {
	jq -c "select(.event == \"$1\")" "$LOG"
}

new_volume --lease 1h
echo content-that-is-secret >"$MNT/name-that-is-secret"
printf wrong >wrong
hsmsetup luksSuspend "$MNT"
expect_exit 2 hsmsetup luksResume --key-file wrong "$MNT"
hsmsetup luksResume --key-file "$KEY" "$MNT"
close_volume
expect_exit 0 hsmsetup audit verify
grep -q "each of which follows" out

[ "$(stat -c %a "$LOG")" = 600 ] || die "others may read the log"
uuid=$(hsmsetup luksUUID "$ENC" | tr -d -)
[ -n "$(event create)" ] || die "create is not in the log"
same "failed unlocks" "$(event unlock | jq -r 'select(.result == "EKEYREJECTED") | .uuid' | sort -u)" "$uuid"
same "good unlocks" "$(event unlock | jq -r 'select(.result == "ok") | .uuid' | sort -u)" "$uuid"
[ -n "$(event slot)" ] && [ -n "$(event lock)" ] && [ -n "$(event token)" ]
for secret in "$PASS" secret wrong "$ENC" "$MNT"; do
	! grep -qF -- "$secret" "$LOG" || die "the log has '$secret'"
done

# A crash cuts the last line off: the next hsmd says so and goes on.
kill_all hsmd
truncate -s -20 "$LOG"
expect_exit 0 hsmsetup audit verify
grep -q "the last one too" out
open_volume
close_volume
expect_exit 0 hsmsetup audit verify
grep -q "1 of them cut off" out
[ -n "$(event torn 2>/dev/null || jq -Rc 'fromjson? | select(.event == "torn")' "$LOG")" ]
expect_exit 0 hsmsetup audit show
grep -q unlock out

# Whatever is changed in the middle is found.
lines=$(wc -l <"$LOG")
cp "$LOG" good
for n in 2 4 $((lines - 1)); do
	sed "${n}d" good >"$LOG"
	expect_exit 1 hsmsetup audit verify
	expect_sentence "does not follow"
	sed "${n}s/ok/no/" good >"$LOG"
	! cmp -s good "$LOG" || continue
	expect_exit 1 hsmsetup audit verify
	sed "${n}p" good >"$LOG"
	expect_exit 1 hsmsetup audit verify
	sed "${n}s/.*/rubbish/" good >"$LOG"
	expect_exit 1 hsmsetup audit verify
done
cp good "$LOG"
expect_exit 0 hsmsetup audit verify

# A long log is put aside, and the oldest part of a very long one removed.
make_long() {
	kill_all hsmd
	python3 - "$LOG" <<-'END'
		import hashlib, sys
		with open(sys.argv[1], "rb+") as log:
		    line = log.read().splitlines()[-1]
		    while log.tell() < 4 << 20:
		        line = b'{"event":"lock","result":"ok","prev":"%s"}' % hashlib.sha256(line).hexdigest().encode()
		        log.write(line + b"\n")
	END
	hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
	close_volume
}
old() {
	echo "${LOG%.jsonl}.$1.jsonl"
}
# verify_fails SENTENCE
verify_fails() {
	expect_exit 1 hsmsetup audit verify
	expect_sentence "$1"
}
make_long
[ "$(stat -c %a "$LOG" "$(old 1)" | sort -u)" = 600 ] || die "others may read the log"
expect_exit 0 hsmsetup audit verify
! grep -q Older out || die "$(cat out)"
same "the first event of another part" "$(head -n 1 "$LOG" | jq -r .event)" rotated
expect_exit 0 hsmsetup audit show
[ "$(grep -c ' rotated ' out)" -eq 1 ] && grep -q ' create ' out
sed -i 1d "$(old 1)"
verify_fails "line 1 of audit.1.jsonl does not follow"
for _ in 2 3 4; do
	make_long
done
[ ! -e "$(old 1)" ] || die "the oldest part is there still"
expect_exit 0 hsmsetup audit verify
grep -q Older out
for n in 2 3 4; do
	mv "$(old $n)" kept
	verify_fails "audit.3.jsonl of the audit log is missing\|has lost files"
	mv kept "$(old $n)"
done
verify_is_sure_of_part() { # N
	cp "$(old "$1")" kept
	sed -i 1d "$(old "$1")"
	verify_fails "line 1 of audit.$1.jsonl does not follow"
	cp kept "$(old "$1")"
}
verify_is_sure_of_part 2
verify_is_sure_of_part 4
expect_exit 0 hsmsetup audit verify

# A log that cannot be written is said at the start, not ignored.
kill_all hsmd
mv "$LOG" kept
ln -s "$T/elsewhere" "$LOG"
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence "audit log"
[ ! -e "$T/elsewhere" ]
expect_exit 1 hsmsetup audit loudly
