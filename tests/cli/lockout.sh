#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Guessing: the TPM stops taking passphrases, hsmsetup says for how long, the log has it.
. "$WORK/tests/lib/common.sh"

format_volume
printf wrong >wrong
for _ in $(seq 32); do
	expect_exit 2 hsmsetup luksAddKey --key-file wrong "$ENC"
	expect_sentence "No key available"
done

# seconds_left: as the right passphrase is refused
seconds_left() {
	expect_exit 2 hsmsetup luksAddKey --key-file "$KEY" "$ENC"
	expect_sentence "Too many wrong passphrases"
	grep -o '[0-9]* seconds' err | cut -d' ' -f1
}
first=$(seconds_left)
if [ "$first" -le 0 ] || [ "$first" -gt 600 ]; then
	die "$first seconds"
fi
# They pass.
for _ in $(seq 300); do
	left=$(seconds_left)
	[ "$left" -eq "$first" ] || break
	sleep 0.1
done
[ "$left" -lt "$first" ] || die "still $left seconds"

# Neither another hsmd nor another slot of that TPM knows better.
kill_all hsmd
again=$(seconds_left)
[ "$again" -gt 0 ] || die "$again seconds after a restart"
log=$HSMFS_STATE_DIR/audit.jsonl
same "failures logged" "$(jq -s '[.[] | select(.event == "unlock" and .result == "EKEYREJECTED")] | length' "$log")" 32
jq -es 'any(.event == "unlock" and .result == "EAGAIN")' "$log" >/dev/null
