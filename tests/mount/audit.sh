#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
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

# A log that cannot be written is said at the start, not ignored.
kill_all hsmd
mv "$LOG" kept
ln -s "$T/elsewhere" "$LOG"
expect_exit 1 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence "audit log"
[ ! -e "$T/elsewhere" ]
expect_exit 1 hsmsetup audit loudly
