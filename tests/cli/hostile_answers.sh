#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Answers of an hsmfs or hsmd that somebody took over, and a log that somebody wrote: none
# of them steers the terminal, and what is called JSON is JSON.
. "$WORK/tests/lib/common.sh"

# serve SOCKET: answers everything with what is in the file "answer".
serve() {
	rm -f "$1" serving
	perl -MSocket -e '
		socket(my $socket, AF_UNIX, SOCK_SEQPACKET, 0) or die;
		bind($socket, sockaddr_un($ARGV[0])) or die;
		listen($socket, 5) or die;
		open(my $mark, ">", "serving") or die;
		while (accept(my $client, $socket)) {
			while (sysread($client, my $request, 65536)) {
				open(my $file, "<", "answer") or die;
				syswrite($client, join("", <$file>)) or last;
			}
		}
	' "$1" &
	server=$!
	until [ -e serving ]; do
		kill -0 $server || die "nobody serves $1"
		sleep 0.02
	done
}
stop_serving() {
	kill $server
	wait $server 2>/dev/null || true
}
# Nothing but printable ASCII and what lays it out.
is_harmless() {
	! LC_ALL=C grep -q '[^ -~	]' out err || die "goes to the terminal: $(cat -v out err)"
}

new_volume
expect_exit 0 hsmsetup status --json "$MNT"
jq -e '.state == "active"' out >/dev/null
mkdir none
expect_exit 4 hsmsetup status --json none
jq -e '.state == "inactive"' out >/dev/null

# hsmfs
socket=$(echo "$HSMFS_RUNTIME_DIR"/mounts/*.sock)
mv "$socket" real
serve "$socket"
printf '{"status":0,"state":"active","uuid":"a\\u001b[31m","engine":"\\u009b7m\\r"}' >answer
expect_exit 0 hsmsetup status "$MNT"
is_harmless
expect_exit 0 hsmsetup status --json "$MNT"
is_harmless
jq -e '.engine == "\u009b7m\r"' out >/dev/null
printf '{"status":-5,"error":"\\u001b]0;title\\u0007\\nNo error."}' >answer
expect_exit 1 hsmsetup luksSuspend "$MNT"
is_harmless
expect_sentence '?]0;title'
for status in 1 4294967296 -2147483648 -4096 '"0"'; do
	printf '{"status":%s}' "$status" >answer
	expect_exit 1 hsmsetup luksSuspend "$MNT"
	expect_sentence 'cannot talk'
done
stop_serving
mv real "$socket"
close_volume

# hsmd: an answer to hello, with status 0 or another, and a name.
answer() {
	perl -e 'print pack("LLlL LL Z24 a24 Z24 a40", 1, 136, $ARGV[0], 0, 1, 7,
		"engine", $ARGV[1], "memory", "")' -- "$@" >answer
}
kill_all hsmd
mkdir -m 700 fake
export HSMFS_RUNTIME_DIR=$T/fake
serve fake/hsmd.sock
answer 0 $'\033[31m'
expect_exit 1 hsmsetup token list
is_harmless
answer 0 012345678901234567890123
expect_exit 1 hsmsetup token list
is_harmless
answer -2147483648 name
expect_exit 1 hsmsetup token list
expect_sentence 'does not answer as this version expects (Protocol error)'
answer 0 name # goes through; the next answer is not one to what is asked next
expect_exit 1 hsmsetup token list
expect_sentence 'Cannot reach the HSM'
stop_serving

# The log.
printf '{"time":"\033[2J","\u001b[7m":"\u009b1m","event":"x\u0007\\r","hsmd":1}\n' \
	>>"$HSMFS_STATE_DIR/audit.jsonl"
printf '{"event":"forged\\nline","text":"\\u001b[2J"}\n' >>"$HSMFS_STATE_DIR/audit.jsonl"
expect_exit 0 hsmsetup audit show
is_harmless
grep -q 'forged?line .* text=?\[2J' out
mkfifo "$HSMFS_STATE_DIR/audit.1.jsonl"
expect_exit 0 timeout 60 hsmsetup audit show
