/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume header: JSON in .hsmfs/header and .hsmfs/header.backup, replaced by
 * write-fsync-rename (fs/FORMAT.md). Its whole content is authenticated under a key
 * derived from the volume key, so the MAC can only be checked once the volume is
 * unlocked.
 */
#ifndef FS_VOLUME_HEADER_H
#define FS_VOLUME_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/wire.h"

struct hsm_client;
struct json_t;

enum header_state {
	HEADER_CLEAN,	  /* closed cleanly */
	HEADER_MOUNTED,	  /* a writable mount is in progress, or died */
	HEADER_UNSETTLED, /* a mount died earlier; some files may still need settling */
};

/* What a slot's secret is. */
enum header_kind {
	HEADER_FOREIGN, /* a later version's: kept as it is, of no use here */
	HEADER_PASSPHRASE,
	HEADER_RECOVERY, /* a recovery key */
};

struct header {
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	uint64_t sequence; /* grows with every store: the newer copy wins */
	enum header_state state;
	/*
	 * Unless clean: since when (seconds since 1970) files may have been changed
	 * without a clean close. No file with an older ctime needs settling.
	 */
	int64_t unclean_since;
	bool used[KEYSLOT_COUNT];
	enum header_kind kinds[KEYSLOT_COUNT];
	struct keyslot slots[KEYSLOT_COUNT];
	uint8_t mac[WIRE_MAC_BYTES]; /* as loaded */
	struct json_t *json; /* as loaded, with members this version does not know */
};

/* A fresh header with a random uuid and no slots. 0 or -ENOMEM, -EIO. */
int header_init(struct header *header);
void header_fini(struct header *header);

enum { HEADER_BYTES_MAX = 65536 }; /* a larger file is no header */

/*
 * Reads the copies in volume directory @dirfd (the ciphertext root). Everything is
 * checked for form; MACs are not. Both copies are tried, the one with the higher sequence
 * first. 0; -ENOENT (not a volume); -EUCLEAN (both copies damaged); -ENOTSUP (a later
 * format or an unknown incompatible feature); or an error of open/read. @why gets one
 * sentence.
 */
int header_load(int dirfd, struct header *header, char *why, size_t why_len);

/*
 * Replaces @header by the copy whose uuid or slots differ from its, for when these open
 * nothing because the loaded copy is damaged. -ENOENT when there is none; else as
 * header_load(). On error @header stays.
 */
int header_load_other(int dirfd, struct header *header);

/*
 * Checks the loaded header's MAC with the session that @hsm owns or uses; when it is
 * wrong tries the other copy. 0, -EBADMSG (both tampered with), or hsm_mac()'s error.
 */
int header_verify(int dirfd, struct header *header, struct hsm_client *hsm, char *why,
		  size_t why_len);

/*
 * Authenticates and writes both copies, durably, one after the other. The directory
 * .hsmfs/ must be there. 0, hsm_mac()'s error, or an error of the file system.
 */
int header_store(int dirfd, struct header *header, struct hsm_client *hsm);

/*
 * flock on .hsmfs/lock, held by the returned descriptor until it is closed. -EBUSY when
 * another mount has it.
 */
int header_lock(int dirfd);

/* The same for one of several mounts that share the volume: they exclude the others only.
 */
int header_lock_shared(int dirfd);

/* Lower-case 8-4-4-4-12. */
void header_uuid_text(const uint8_t uuid[KEYSLOT_UUID_BYTES], char text[37]);

#endif
