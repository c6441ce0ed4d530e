#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Key slots are added and removed, and never the last one by mistake.
. "$WORK/tests/lib/common.sh"

format_volume
nr_slots() {
	hsmsetup luksDump --json "$ENC" | jq '.slots | length'
}
# The passphrase is right; then there is nothing to do.
unlock() {
	local used
	used=$(hsmsetup luksDump --json "$ENC" | jq -r '.slots | keys[0]')
	expect_exit 5 hsmsetup luksAddKey --key-file "$1" --key-slot "$used" "$ENC"
	expect_sentence "Key slot $used is in use"
}
unlock "$KEY"

# A new passphrase on standard input, after the old one; both work.
printf '%s\nnew one\n' "$PASS" | hsmsetup luksAddKey "${CHEAP[@]}" "$ENC"
printf 'new one' >second
unlock second
unlock "$KEY"
same "slots" "$(nr_slots)" 2

# What is refused changes nothing.
cp -r "$ENC/.hsmfs" kept
printf wrong >wrong
expect_exit 2 hsmsetup luksAddKey --key-file wrong --new-keyfile "$KEY" "$ENC"
expect_sentence passphrase
expect_exit 1 hsmsetup luksAddKey --key-file "$KEY" --tpm2-pcrs 24 "$ENC"
expect_exit 1 hsmsetup luksAddKey --key-file "$KEY" --tpm2-pcrs 7+ "$ENC"
expect_exit 1 hsmsetup luksAddKey --key-file "$KEY" --key-slot 16 "$ENC"
expect_exit 2 hsmsetup luksAddKey --key-file "$KEY" --token nonsense "$ENC"
expect_sentence "no TPM nonsense"
expect_exit 1 hsmsetup luksKillSlot --key-file "$KEY" "$ENC" 7
expect_sentence "not in use"
expect_exit 1 hsmsetup luksKillSlot --key-file "$KEY" "$ENC" 16
expect_exit 1 hsmsetup luksKillSlot --key-file "$KEY" "$ENC" x
printf '\n' >newline
printf '%s\n\n' "$PASS" >lines
expect_exit 1 hsmsetup luksAddKey "$ENC" <lines
expect_sentence "empty passphrase"
# Not with the passphrase of that slot: it might be the only one that somebody knows.
expect_exit 2 hsmsetup luksKillSlot --key-file second "$ENC" 1
diff -r "$ENC/.hsmfs" kept

# Nor is anything while another one is at work, which waits for its passphrase here.
mkfifo passphrase
hsmsetup luksAddKey "${CHEAP[@]}" "$ENC" <passphrase &
other=$!
exec {held}>passphrase
until ! flock -n "$ENC/.hsmfs/lock" true; do
	sleep 0.05
done
expect_exit 5 hsmsetup luksAddKey --key-file "$KEY" "$ENC"
expect_sentence "another hsmsetup is at work"
exec {held}>&-
! wait $other || die "took nothing for a passphrase"
diff -r "$ENC/.hsmfs" kept

# A recovery key stays one, in any slot.
mkdir other
hsmsetup luksFormat -q --key-file "$KEY" --recovery-file recovery "${CHEAP[@]}" other
hsmsetup luksAddKey --key-file second --new-keyfile recovery --key-slot 9 "$ENC"
same "kind" "$(hsmsetup luksDump --json "$ENC" | jq -r '.slots."9".kind')" recovery
unlock recovery
expect_exit 1 hsmsetup luksAddKey --key-file second --new-keyfile recovery --tpm2-pcrs 7 "$ENC"
expect_sentence "recovery key"
tr b c <recovery | tr e d >mistaken
expect_exit 1 hsmsetup luksAddKey --key-file second --new-keyfile mistaken "${CHEAP[@]}" "$ENC"
expect_sentence "typing mistake"

hsmsetup luksKillSlot --key-file recovery "$ENC" 1
expect_exit 2 hsmsetup luksAddKey --key-file second "$ENC"
hsmsetup luksKillSlot --key-file recovery "$ENC" 0
same "slots" "$(nr_slots)" 1
unlock recovery
expect_exit 1 hsmsetup luksKillSlot --key-file recovery "$ENC" 9
expect_sentence "last one"
unlock recovery
# (the number of a removed slot is free again)
hsmsetup luksAddKey --key-file recovery --new-keyfile second "${CHEAP[@]}" "$ENC"
unlock second
hsmsetup luksKillSlot -q --key-file second "$ENC" 9
hsmsetup luksKillSlot -q --key-file second "$ENC" 0
same "slots" "$(nr_slots)" 0

# All sixteen.
rm -r "$ENC"
format_volume
for _ in $(seq 15); do
	hsmsetup luksAddKey --key-file "$KEY" --new-keyfile second "${CHEAP[@]}" "$ENC"
done
expect_exit 5 hsmsetup luksAddKey --key-file "$KEY" --new-keyfile second "${CHEAP[@]}" "$ENC"
expect_sentence "16 key slots"
unlock "$KEY"
expect_exit 0 hsmsetup token list
grep -q '^libtpms *[0-9a-f]\{64\}$' out
same "name" "$(hsmsetup token list --json | jq -r '.[0].name')" \
	"$(hsmsetup luksDump --json "$ENC" | jq -r '.slots."0".token.name')"
expect_exit 1 hsmsetup token burn
