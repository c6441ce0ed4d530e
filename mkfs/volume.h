/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as the commands see it: its directory, its header and a session in the HSM.
 * Functions return 0 or an exit code, having said why.
 */
#ifndef MKFS_VOLUME_H
#define MKFS_VOLUME_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/volume/header.h"
#include "hsm/api/wire.h"

struct hsm_client;
struct options;
struct passphrase_source;

struct volume {
	char path[PATH_MAX]; /* absolute, without symlinks */
	int dirfd;
	struct header header;
	struct wire_tokens_reply tokens; /* the HSM's TPMs, once connected */
	struct hsm_client *hsm;		 /* once unlocked */
	uint32_t passed_over;		 /* slots not to be tried, a bit each */
	int lock;			 /* held by us, or 0 */
};

/* Opens the directory only: @volume has no header yet. Ended by volume_close(). */
int volume_open_directory(const char *dir, struct volume *volume);

/* Opens a formatted volume and reads its header. Ended by volume_close(). */
int volume_open(const char *dir, struct volume *volume);

/*
 * Takes the volume's lock, so that nothing else writes its header or, unless @shared,
 * mounts it.
 */
int volume_lock(struct volume *volume, bool shared);

/* volume_open() and volume_lock(), with the header as it is under the lock. */
int volume_open_locked(const char *dir, struct volume *volume);

void volume_close(struct volume *volume);

/* Connects to hsmd, starting it if need be. */
int volume_connect(struct volume *volume);

/*
 * Asks for the passphrase (again, when a person mistyped it) until one of the slots that
 * this HSM can serve opens, then authenticates the header.
 */
int volume_unlock(struct volume *volume, const struct passphrase_source *source);

/* Writes the header, of an unlocked and locked volume. */
int volume_store(struct volume *volume);

/* A ticket for hsmfs, with the lease that @options ask for. */
int volume_ticket(struct volume *volume, int read_only, const struct options *options,
		  uint8_t ticket[WIRE_TICKET_BYTES]);

/*
 * The same with the limits that the volume's last ticket had, or, with a note, without
 * any when the HSM does not know them any more.
 */
int volume_ticket_again(struct volume *volume, int read_only,
			uint8_t ticket[WIRE_TICKET_BYTES]);

#endif
