# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What setfacl, getfacl, chmod and umask do to each other. acl_cases DIR prints the same for
# every directory that keeps POSIX ACLs.

# show FILE...: modes and ACLs
show() {
	stat -c '%n %a' "$@"
	getfacl -cnp "$@" 2>&1
}

acl_cases() {
	cd "$1" || return 1
	umask 022
	echo text >file
	mkdir dir
	show file dir

	echo "== an access ACL and the mode"
	setfacl -m u:12345:rw,g:12346:r file
	show file
	chmod 640 file
	show file
	chmod 604 file
	show file
	setfacl -m m::rwx file
	show file
	setfacl -m u::r,g::-,o::x file
	show file
	setfacl -x u:12345 file
	show file
	setfacl -b file
	show file
	setfacl -m u::rwx,g::rx,o::r file
	show file
	setfacl -m u:12345:rwx dir
	show dir

	echo "== files that their owner may not read or write"
	for mode in 000 200 400 444; do
		echo text >"mode-$mode"
		chmod "$mode" "mode-$mode"
		setfacl -m u:12345:r "mode-$mode"
		show "mode-$mode"
	done

	echo "== default ACLs"
	setfacl -d -m u:12345:rwx,g:12346:rx,o::- dir
	show dir
	echo text >dir/file
	mkdir dir/sub
	mkdir -m 700 dir/private
	(umask 077 && echo text >dir/umask && mkdir dir/umaskdir)
	install -m 444 file dir/readonly
	mkfifo dir/fifo
	ln -s file dir/link
	mkdir -p dir/sub/sub/sub
	show dir/file dir/sub dir/private dir/umask dir/umaskdir dir/readonly dir/sub/sub/sub
	stat -c '%n %a' dir/link
	chmod g+s dir
	mkdir dir/setgid
	show dir/setgid
	chmod g-s dir
	echo "== a default ACL that says no more than a mode"
	mkdir plain
	setfacl -d -m u::rwx,g::rwx,o::- plain
	echo text >plain/file
	mkdir plain/sub
	show plain plain/file plain/sub
	setfacl -k plain
	show plain
	echo text >plain/later
	show plain/later

	echo "== copies and renames"
	setfacl -m u:12345:rw file
	cp -a file copy
	mv copy dir/moved
	ln dir/moved linked
	show dir/moved linked
	getfattr -m- linked 2>&1 | grep -v -e '^#' -e '^$' | sort
	setfacl -b linked
	show dir/moved

	echo "== errors"
	setfacl -d -m u:12345:r file 2>\&1 || true
	setfacl -m u:12345:r none 2>\&1 || true
	getfattr -n system.posix_acl_default file 2>\&1 || true
	setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff file 2>\&1 || true
	setfattr -n system.posix_acl_access -v 0x00 file 2>\&1 || true
	# shellcheck disable=SC2012 # of names that we know
	ls -l | awk 'NR > 1 { print $1, $NF }'
	cd - >/dev/null || return 1
}

# As root: who gets in. The users are those of acl_cases.
acl_accesses() {
	as() {
		setpriv --clear-groups --reuid "$1" --regid "$2" "${@:3}" 2>&1 || true
	}

	cd "$1" || return 1
	umask 022
	mkdir access
	chmod 711 access
	echo text >access/file
	chmod 600 access/file
	as 12345 9 cat access/file
	setfacl -m u:12345:r access/file
	as 12345 9 cat access/file
	as 12345 9 sh -c 'echo x >>access/file'
	as 12347 9 cat access/file
	setfacl -m g:12346:rw,m::r access/file
	as 12347 12346 cat access/file
	as 12347 12346 sh -c 'echo x >>access/file'
	setfacl -m m::rw access/file
	as 12347 12346 sh -c 'echo x >>access/file'
	chmod 604 access/file
	as 12345 9 cat access/file
	as 12347 9 cat access/file
	as 12345 9 setfacl -m u:12345:rwx access/file
	as 12345 9 getfacl -cnp access/file

	echo "== inherited by another's file"
	mkdir shared
	chmod 770 shared
	setfacl -m u:12345:rwx,u:12347:rx shared
	setfacl -d -m u:12345:rwx,u:12347:r shared
	as 12345 9 sh -c 'echo by 12345 >shared/new && mkdir shared/dir && chmod u+s shared/new'
	stat -c '%n %a %u' shared/new shared/dir
	getfacl -cnp shared/new shared/dir
	as 12347 9 cat shared/new
	as 12347 9 sh -c 'echo x >>shared/new'
	as 12348 9 cat shared/new

	echo "== set-group-id of a group that one is not in"
	echo text >setgid
	chown 12345:12349 setgid
	chmod 2755 setgid
	as 12345 9 setfacl -m u:12347:rx setgid
	stat -c '%n %a' setgid
	chmod 2755 setgid
	setfacl -m u:12348:rx setgid
	stat -c '%n %a' setgid
	cd - >/dev/null || return 1
}
