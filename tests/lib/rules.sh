# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For tests that run the tables of tests/tools/rules_*.c, after common.sh.

# Rules that a plain directory keeps and a mount does not; README.md says why.
DIFFERENCES='O_PATH of removed files
attributes: posix acl
attributes: trusted
fallocate: COLLAPSE_RANGE
rename: whiteout
symlink targets of 4095 bytes
times: reads move atime
times: truncating to the same size'

# run_rules DIR OUTPUT: all tables in the empty directory DIR, one line a rule.
run_rules() {
	local table
	for table in access permit names times data; do
		mkdir "$1/$table"
		"rules_$table" "$1/$table" >>"$2" 2>>"$2.why" || true
	done
}

# The rules of a table's output with that result.
rules_with() {
	sed -n "s/^$1 //p" "$2" | sort
}

# compare_rules PLAIN MOUNTED [DIFFERENCES]: what the store itself does not keep is not asked of the
# mount; beyond that they may differ in the known points only (and in those of $3).
compare_rules() {
	local broken known
	known=$(printf '%s\n' "$DIFFERENCES" "${3-}" | sort)
	[ "$(rules_with ok "$1" | wc -l)" -gt 50 ] || die "the tables did not run: $(cat "$1.why")"
	same "rules" "$(cut -d' ' -f2- "$2")" "$(cut -d' ' -f2- "$1")"
	broken=$(comm -13 <(rules_with FAIL "$1") <(rules_with FAIL "$2") | comm -13 <(echo "$known") -)
	[ -z "$broken" ] || die "the mount breaks: $broken
$(cat "$2.why")"
	rules_with FAIL "$1" | sed 's/^/not kept by the plain directory either: /'
}
