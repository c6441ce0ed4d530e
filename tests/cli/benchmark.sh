#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The engines and handles that hsmd measures by itself.
. "$WORK/tests/lib/common.sh"

# All engines there are, one of them the default; figures of those that can run, and only those.
check_engines() {
	jq -e '
		(.engines | map(.engine) | index("openssl")) and
		(.engines | map(select(.default)) | length == 1) and
		(.engines | all(.available or (.default | not))) and
		(.engines | all(if .available
			then (.extents | map(.extent_kib)) == [4, 64, 1024] and
			     (.extents | all(.seal_mib_s > 0 and .open_mib_s > 0))
			else .extents == [] end))
	' "$1" >/dev/null || die "engines: $(cat "$1")"
	[ "$(uname -m)" != x86_64 ] || jq -e '.engines | map(.engine) | index("ipsec-mb")' "$1" >/dev/null ||
		die "no ipsec-mb: $(cat "$1")"
}

check_handles() {
	jq -e '.handles | .extent_kib == 4 and .kept_ns > 0 and .rotating_ns > 0' "$1" >/dev/null ||
		die "handles: $(cat "$1")"
}

# By itself it serves nobody: no socket, no state, no folder for them.
expect_exit 0 env HSMFS_RUNTIME_DIR="$T/no-run" HSMFS_STATE_DIR="$T/no-state" hsmd --benchmark
check_engines out
check_handles out
same "said" "$(cat err)" ""
if [ -e no-run ] || [ -e no-state ]; then
	die "hsmd --benchmark made a folder"
fi
expect_exit 0 hsmd --benchmark
same "left in the folders" "$(find "$HSMFS_RUNTIME_DIR" "$HSMFS_STATE_DIR" -mindepth 1)" ""
same "hsmd that stays" "$(pids_of hsmd)" ""
code=0
hsmd --benchmark >/dev/full 2>err || code=$?
same "exit code for a full disk" "$code" 1
expect_sentence 'no space'
