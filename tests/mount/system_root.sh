#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 360
# A system's files with their owners, modes, ACLs, devices, links and times: by tar, rsync, cp and
# dpkg into the mount and out again.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"

# What is in no ordinary tree.
add_odd() {
	mkdir -p "$1/odd/sticky" "$1/odd/empty" "$1/odd/owned"
	chmod 1777 "$1/odd/sticky"
	mknod -m 660 "$1/odd/char" c 10 229
	mknod -m 600 "$1/odd/block" b 259 1048575
	chown 0:44 "$1/odd/char"
	mkfifo -m 0 "$1/odd/fifo"
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die' \
		"$1/odd/socket"
	for mode in 0 111 4755 2755 6711 7777; do
		echo $mode >"$1/odd/mode-$mode"
		chown 65534:12345 "$1/odd/mode-$mode"
		chmod $mode "$1/odd/mode-$mode"
	done
	echo x >"$1/odd/owned/far"
	chown 4294967294:4000000000 "$1/odd/owned/far" "$1/odd/owned"
	for i in 1 2 3; do ln "$1/odd/owned/far" "$1/odd/sticky/link-$i"; done
	truncate -s 30M "$1/odd/sparse"
	echo end >>"$1/odd/sparse"
	ln -s "$(printf 'far/%.0s' {1..150})" "$1/odd/symlink"
	chown -h 33:33 "$1/odd/symlink"
	for name in user.one user.two; do
		setfattr -n $name -v "value of $name" "$1/odd/sparse" "$1/odd/sticky"
	done
	setfacl -m u:4294967294:rwx,g:12345:r "$1/odd/mode-6711" "$1/odd/owned/far"
	setfacl -m u:1:rx -dm u:2:rwx,g::- "$1/odd/empty"
	touch -d '1901-12-14 01:02:03.000000001' "$1/odd/mode-4755"
	touch -d '2105-06-07 08:09:10.999999999' "$1/odd/mode-2755"
	touch -h -d '1970-01-01 00:00:00Z' "$1/odd/symlink"
}

tree_of() {
	(cd "$1" && find . -printf '%P %y %m %U %G %n %s %l %T@\n' |
		sed -E '/ d /s/ [0-9]+ [0-9]+  / - /' | sort)
	(cd "$1" && find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | sort)
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2)
	(cd "$1" && find odd \( -type f -o -type d \) | sort | getfacl -nps -)
	(cd "$1" && find . \( -type f -o -type d \) -print0 | sort -z | xargs -0 getfattr -d -m '^user\.')
}

as_wanted() {
	tree_of "$1" | diff want - || die "$2: differs"
}

from=$T/from
mkdir "$from"
tar -C / -cf - --ignore-failed-read etc usr/sbin usr/share/perl5 2>/dev/null | tar -C "$from" -xpf -
add_odd "$from"
tree_of "$from" >want
new_volume -o acl

tar -C "$from" --numeric-owner --acls --xattrs -cSf all.tar . 2>tar.err
mkdir "$MNT/tar" "$MNT/rsync"
tar -C "$MNT/tar" --numeric-owner --acls --xattrs --xattrs-include='*' -xpf all.tar
# No archive has sockets.
mv "$MNT/tar/odd/mode-0" "$MNT/kept"
mv "$MNT/kept" "$MNT/tar/odd/mode-0"
tar -C "$MNT/tar" --numeric-owner --acls --xattrs --xattrs-include='*' --diff -f all.tar ||
	die "tar finds differences"
rsync -aHAXS --numeric-ids "$from/" "$MNT/rsync/"
same "what rsync would change" "$(rsync -naHAXi --delete --numeric-ids "$from/" "$MNT/rsync/")" ""
as_wanted "$MNT/rsync" rsync
cp -a "$MNT/rsync" "$MNT/cp"
as_wanted "$MNT/cp" cp
cold_reopen -o acl
as_wanted "$MNT/rsync" "after a remount"
rsync -aHAXS --numeric-ids "$MNT/cp/" "$T/back/"
as_wanted "$T/back" "rsync out of the mount"
rm -rf "$MNT/tar" "$MNT/cp"

# dpkg unpacks by link, rename and fsync.
package=$MNT/package root=$MNT/root
mkdir -p "$package/DEBIAN" "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
: >"$root/var/lib/dpkg/status"
cp -a "$MNT/rsync/usr" "$package/"
install -m 4755 -o 65534 "$MNT/rsync/odd/mode-4755" "$package/usr/sbin/set-user-id"
install_version() {
	printf 'Package: test\nVersion: %s\nArchitecture: all\nMaintainer: t <t@localhost>\nDescription: test\n' \
		"$1" >"$package/DEBIAN/control"
	dpkg-deb -b -Znone "$package" "$MNT/test.deb" >/dev/null
	dpkg --root="$root" --force-script-chrootless -i "$MNT/test.deb" >dpkg.out 2>&1 ||
		die "dpkg: $(tail dpkg.out)"
}
install_version 1
echo changed >>"$package/usr/sbin/set-user-id"
chmod 4755 "$package/usr/sbin/set-user-id"
install_version 2
same "what dpkg unpacked" "$(rsync -nacHAXi --delete --numeric-ids --omit-dir-times --modify-window=1 \
	"$package/usr" "$root/")" ""
same "dpkg" "$(dpkg-query --admindir="$root/var/lib/dpkg" -Wf '${Version} ${db:Status-Abbrev}' test)" '2 ii '
close_volume
