#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# status, as text and as JSON, and its counters.
. "$WORK/tests/lib/common.sh"

new_volume
# (of handles that there will be: nothing was done so far)
same "handle lifetime" "$(hsmsetup status --json "$MNT" | jq .handle_lifetime_ms)" 30000
touch "$MNT/touched"
hsmsetup status --json "$MNT" >one
jq -e 'type == "object"' one >/dev/null
uuid=$(hsmsetup luksUUID "$ENC")
same uuid "$(jq -r .uuid one)" "$uuid"
case $(jq -r .engine one) in
ipsec-mb | openssl) ;;
*) die "engine: $(jq -r .engine one)" ;;
esac
same token "$(jq -r .token one)" libtpms
jq -e '.generation >= 0 and .handle_lifetime_ms > 0' one >/dev/null

random_bytes 400000 a >"$MNT/file"
sync "$MNT/file"
hsmsetup status --json "$MNT" >two
jq -e -s '.[1].pages_sealed - .[0].pages_sealed >= 99' one two >/dev/null ||
	die "400000 bytes are 99 pages: $(jq .pages_sealed one two)"
jq -e -s '.[1].generation > .[0].generation' one two >/dev/null ||
	die "the handle did not change"
cold_reopen
hsmsetup status --json "$MNT" >one
cmp "$MNT/file" <(random_bytes 400000 a)
hsmsetup status --json "$MNT" >two
jq -e -s '.[1].pages_opened - .[0].pages_opened >= 99' one two >/dev/null ||
	die "pages opened: $(jq .pages_opened one two)"
same refused "$(jq .refused two)" 0

hsmsetup status "$MNT" >text
for word in "$uuid" "$(jq -r .engine two)" libtpms; do
	grep -qF "$word" text || die "status does not show $word"
done
# No handle, ticket or key shows up in either.
! grep -qE '[0-9a-f]{32}' text two || die "status shows a secret"
