#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# Directory ids, names, links and the volume's own files, damaged in every way: what is
# shown is true or an error, the rest can still be read, and no header is believed.
. "$WORK/tests/lib/common.sh"

new_volume
mkdir -p "$MNT/one/deep" "$MNT/two/deep"
for d in one one/deep two two/deep; do
	echo "content of $d" >"$MNT/$d/file"
	ln -s "target in $d" "$MNT/$d/link"
	echo "long in $d" >"$MNT/$d/$(printf '%0255d' 1)"
done
echo root >"$MNT/file"
close_volume
cp -a "$ENC" pristine
sorted_tree() { # DIR: every path with what it holds; errors as such
	(cd "$1" && find . 2>/dev/null | sort | while read -r p; do
		if [ -L "$p" ]; then
			echo "$p -> $(readlink "$p" || echo EIO)"
		elif [ -f "$p" ]; then
			echo "$p : $(cat "$p" 2>/dev/null || echo EIO)"
		else
			echo "$p"
		fi
	done)
}
open_volume
sorted_tree "$MNT" >truth
close_volume
[ "$(wc -l <truth)" -eq 18 ]

restore() {
	rm -rf "$ENC"
	cp -a pristine "$ENC"
}

# Nothing may be shown that is not in the truth, but for errors.
check_tree() {
	local lost
	open_volume
	sorted_tree "$MNT" | grep -v 'EIO$' >seen || true
	! grep -vxFf truth seen || die "wrong after: $*"
	lost=$(($(wc -l <truth) - $(wc -l <seen)))
	close_volume
	echo "$*: $lost entries lost"
	[ $lost -le "$1" ] || die "too much is lost: $*"
	restore
}

# flip TEXT: one character of it changed to another of the same alphabet.
flip() {
	local at=$((RANDOM % ${#1})) new=A
	[ "${1:at:1}" != A ] || new=B
	printf '%s%s%s' "${1:0:at}" "$new" "${1:at+1}"
}
relink() {
	ln -s -- "$2" "$1.new"
	mv -T "$1.new" "$1"
}
mapfile -t ids < <(find "$ENC" -name .hsmfs.id | sort)
[ "${#ids[@]}" -ge 4 ] || die "directory ids: ${ids[*]}"

# Directory ids: changed, swapped, gone, emptied. At most that subtree is lost.
for i in 0 1 2 3; do
	id=${ids[i]}
	relink "$id" "$(flip "$(readlink "$id")")"
	check_tree 18 "id flipped"
	relink "$id" "AAAA"
	check_tree 18 "id replaced"
	rm "$id"
	check_tree 18 "id gone"
	rm "$id"
	touch "$id"
	check_tree 18 "id not a link"
	other=${ids[(i + 1) % 4]}
	target=$(readlink "$id")
	relink "$id" "$(readlink "$other")"
	relink "$other" "$target"
	check_tree 18 "ids swapped"
done

# A name changed: only that entry is lost. Moved elsewhere: it is not shown there.
mapfile -t entries < <(find "$ENC" -mindepth 1 -path "$ENC/.hsmfs" -prune -o -name '.*' -o -type f -print | sort)
for entry in "${entries[@]}"; do
	mv "$entry" "${entry%/*}/$(flip "${entry##*/}")"
	check_tree 1 "name flipped"
done
for entry in "${entries[@]}"; do
	for id in "${ids[@]}"; do
		[ "${id%/*}" != "${entry%/*}" ] || continue
		cp "$entry" "${id%/*}/"
		check_tree 0 "entry copied to another directory"
	done
done
echo alien >"$ENC/alien"
mkdir "$ENC/.alien"
check_tree 0 "alien entries"

# Side entries of long names.
mapfile -t sides < <(find "$ENC" -name '.name.*' | sort)
[ "${#sides[@]}" -ge 4 ] || die "side entries: ${sides[*]}"
for side in "${sides[@]}"; do
	relink "$side" "$(flip "$(readlink "$side")")"
	check_tree 1 "side entry flipped"
	rm "$side"
	check_tree 1 "side entry gone"
done

# Link targets.
mapfile -t links < <(find "$ENC" -type l ! -name '.*' | sort)
[ "${#links[@]}" -ge 4 ] || die "links: ${links[*]}"
for link in "${links[@]}"; do
	relink "$link" "$(flip "$(readlink "$link")")"
	check_tree 1 "link flipped"
	relink "$link" "/etc/passwd"
	check_tree 1 "link replaced"
done

# The headers. With one copy damaged the other serves; with both, nothing is mounted
# or what is mounted is right.
mangle() { # FILE
	local size at
	size=$(stat -c %s "$1")
	case $((RANDOM % 4)) in
	0) truncate -s $((RANDOM % size)) "$1" ;;
	1) printf '\0' | dd of="$1" bs=1 seek=$((RANDOM % size)) conv=notrunc status=none ;;
	2) printf '{' >>"$1" ;;
	3)
		# Another digit or letter in place of one.
		at=$((RANDOM % size))
		while ! dd if="$1" bs=1 skip=$at count=1 status=none | grep -q '[0-9A-Za-z]'; do
			at=$(((at + 1) % size))
		done
		old=$(dd if="$1" bs=1 skip=$at count=1 status=none)
		printf %s "$(echo "$old" | tr '0-9A-Za-z' '1-90B-ZAb-za')" |
			dd of="$1" bs=1 seek=$at conv=notrunc status=none
		;;
	esac
}
for i in $(seq 12); do
	file=$ENC/.hsmfs/header
	[ $((i % 2)) -eq 0 ] || file=$ENC/.hsmfs/header.backup
	mangle "$file"
	while grep -q '"format": *2' "$file"; do # refused, as a later version's
		restore
		mangle "$file"
	done
	check_tree 0 "one header damaged ($i)"
done
opened=0
for i in $(seq 40); do
	mangle "$ENC/.hsmfs/header"
	cp "$ENC/.hsmfs/header" "$ENC/.hsmfs/header.backup"
	if hsmsetup open --key-file "$KEY" "$ENC" "$MNT" >out 2>err; then
		opened=$((opened + 1))
		sorted_tree "$MNT" | diff truth - || die "wrong content with a damaged header"
		close_volume
	else
		[ $? -le 2 ] || die "exit code with a damaged header: $(cat err)"
		[ "$(wc -l <err)" -eq 1 ] || die "not one sentence: $(cat err)"
		! is_mounted "$MNT" || die "mounted though it failed"
	fi
	restore
done
same "damaged headers that were believed" $opened 0

# Another volume's header, under which this passphrase is right.
mkdir stranger
hsmsetup luksFormat -q --key-file "$KEY" "${CHEAP[@]}" stranger
cp stranger/.hsmfs/header* "$ENC/.hsmfs/"
open_volume
sorted_tree "$MNT" | grep -v 'EIO$' >seen || true
! grep -E 'content|target|root' seen || die "another volume's key opened this one"
close_volume
