#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Names functions of over 60 lines. A body begins and ends with a brace in column one.
awk '
	FNR == 1 { start = 0 }
	/^[a-z].*\(/ { head = $0 }
	/^{/ { start = FNR }
	/^}/ && start {
		len = FNR - start - 1
		if (len > 60) {
			printf "functions: %s:%d: %d lines: %s\n", FILENAME, start, len, head
			bad = 1
		}
		start = 0
	}
	END { exit bad }
' "$@" >&2
