#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs those of the given Debian packages that are missing. Silent when none is.
set -eu

missing=
for package; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "missing Debian packages; install them as root: apt-get install$missing" >&2
		exit 1
	fi
	as_root=sudo
	[ -t 0 ] || as_root='sudo -n'
fi

apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null
}

echo "Installing with apt-get${as_root:+ (as root, through sudo)}:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of packages
if ! { apt update && apt install --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "apt-get failed; install by hand: apt-get install$missing" >&2
	exit 1
fi
