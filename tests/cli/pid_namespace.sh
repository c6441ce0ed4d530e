#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Processes that hsmd cannot tell apart, since they are outside its process namespace, are
# refused: connections, quotas and messages are bound to one process.
. "$WORK/tests/lib/common.sh"

apart() {
	unshare --user --map-current-user --pid --fork --kill-child "$@"
}

apart true 2>/dev/null || skip "no user namespaces here"

apart hsmd --ready-fd 3 3>ready &
for _ in $(seq 600); do
	[ ! -s ready ] || break
	sleep 0.1
done
same "hsmd's start" "$(cat ready)" 0
mkdir "$ENC"
expect_exit 1 hsmsetup luksFormat -q --no-recovery --key-file "$KEY" "${CHEAP[@]}" "$ENC"
expect_sentence hsmd
same "the volume" "$(ls -A "$ENC")" ""
kill $!
