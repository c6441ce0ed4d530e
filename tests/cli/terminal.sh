#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# On a terminal: the passphrase is asked twice when formatting, three times at most when
# opening, and never shown.
. "$WORK/tests/lib/common.sh"

mkdir vol "$MNT"

# type COMMAND ANSWER...: gives an answer to each prompt; the exit code is the command's.
cat >type.exp <<'EXPECT'
set timeout 30
spawn sh -c [lindex $argv 0]
foreach answer [lrange $argv 1 end] {
	expect -re {assphrase[^\n]*: ?$} {send -- $answer} timeout {exit 90} eof {exit 91}
}
expect eof {} timeout {exit 92}
exit [lindex [wait] 3]
EXPECT
type() {
	expect type.exp "$@"
}

format="hsmsetup luksFormat ${CHEAP[*]} vol"
expect_exit 2 type "$format" $'hocuspocus\r' $'hokuspokus\r'
grep -qi match out || die "does not say that the two differ"
same "nothing made" "$(ls -A vol)" ""
expect_exit 1 type "$format" $'\r' $'\r'
same "nothing made" "$(ls -A vol)" ""
expect_exit 0 type "$format" $'hocuspocus\r' $'hocuspocus\r'
! grep -q hocuspocus out || die "the passphrase was echoed"

open="hsmsetup open vol mnt"
expect_exit 2 type "$open" $'wrong1\r' $'wrong2\r' $'wrong3\r'
! grep -q wrong out || die "the passphrase was echoed"
! is_mounted "$MNT" || die "mounted with a wrong passphrase"
expect_exit 0 type "$open" $'wrong1\r' $'hocuspocus\r'
! grep -q hocuspocus out || die "the passphrase was echoed"
is_mounted "$MNT" || die "not mounted"
echo text >"$MNT/file"
hsmsetup close "$MNT"

# Nor does it show what is typed where a file could be.
expect_exit 0 type "hsmsetup open --key-file - vol mnt" $'hocuspocus\r'
! grep -q hocuspocus out || die "the passphrase was echoed"
hsmsetup close "$MNT"
expect_exit 1 type "hsmsetup open --key-file - --keyfile-size 4 vol mnt"
grep -q keyfile-size out || die "does not say what is wrong: $(cat out)"

# Interrupted at the prompt: nothing is done and the terminal echoes again.
expect_exit 0 type "trap : INT; $open; stty -a" $'\003'
! is_mounted "$MNT" || die "mounted after an interrupt"
grep -q ' echo ' out || die "the terminal does not echo any more: $(cat out)"

# So it is with every signal that may end it, once the terminal does not echo.
for signal in TERM HUP ALRM PIPE USR1 USR2; do
	expect_exit 0 type "trap : HUP
		(until stty -a </dev/tty | grep -q -e ' -echo '; do sleep 0.1; done
		pkill -$signal -P \$\$ -x hsmsetup) &
		$open; [ \$? -eq $((128 + $(kill -l $signal))) ] || exit 80
		! stty -a | grep -q -e ' -echo ' || exit 81"
done

# A crash in the middle of luksKillSlot leaves a copy of the header with the slot. A wrong
# passphrase tries that one too, but the right one after it does not bring the slot back.
printf hocuspocus >pass
cp vol/.hsmfs/header.backup before
hsmsetup luksKillSlot --key-file pass vol 1
cp before vol/.hsmfs/header.backup
expect_exit 0 type "hsmsetup luksAddKey ${CHEAP[*]} vol" \
	$'wrong\r' $'hocuspocus\r' $'new one\r' $'new one\r'
same "slots" "$(hsmsetup luksDump --json vol | jq -c '.slots | map_values(.kind)')" \
	'{"0":"passphrase","1":"passphrase"}'
