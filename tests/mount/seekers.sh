#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# More seeks for holes in dirty files, each of which has the kernel write, than there are
# workers to serve what it writes.
. "$WORK/tests/lib/common.sh"

new_volume
timeout 90 "$WORK/tools/seekers" "$MNT"
close_volume
