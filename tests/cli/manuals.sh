#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What --help lists is in the man page and the other way round, and so are the pages that
# others refer to.
. "$WORK/tests/lib/common.sh"

git clone -q "$WORK/repo.git" clone
page() {
	# (a letter, a backspace and the letter again is a bold one)
	mandoc -T ascii -O width=1000 "$(find clone/fs clone/hsm clone/mkfs -name "$1.8")" | sed 's/.\x08//g'
}
long_options() {
	grep -oE -- '(^|[^-[:alnum:]])--[a-z][a-z0-9-]+' | grep -oE -- '--.*' | sort -u
}

hsmsetup --help | sed -n 's/^  \([a-zA-Z]*\) .*/\1/p' >commands
[ "$(wc -l <commands)" -ge 13 ]
page hsmsetup >text
sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' text >synopsis
sed -n '/^SYNOPSIS/,/^PASSPHRASES/p' text >options
while read -r command; do
	grep -qE "^ *hsmsetup $command( |$)" synopsis || die "no $command in the synopsis"
	grep -qE "^ *$command( |$)" <(sed -n '/^DESCRIPTION/,$p' text) || die "$command is not explained"
	hsmsetup "$command" --help >>help
done <commands
long_options <help >offered
# (those of hsmd are spoken of as well)
long_options <options | grep -vE -- '^--(engine|benchmark)$' >explained
diff offered explained

for program in hsmd hsmfs; do
	page $program | sed -n '/^SYNOPSIS/,/^EXIT STATUS/p' | long_options >explained
	$program --help | long_options >offered
	# (that every program has these need not be said in its page)
	diff <(grep -vE -- '^--(help|version)$' offered) <(grep -vE -- '^--(help|version)$' explained)
done

grep -hoE '^\.Xr ([a-z]+\.)?hsm[a-z]* 8' -r clone/fs clone/hsm clone/mkfs | cut -d' ' -f2 | sort -u >pages
while read -r name; do
	[ -n "$(page "$name")" ] || die "no man page $name(8)"
done <pages
