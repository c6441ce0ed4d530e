/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery keys: 256 random bits for paper. Written in modhex, whose letters are in the
 * same place on most keyboards: eight groups of eight and a last one of four that checks
 * the others, so that a slip of the pen is told from a wrong key.
 */
#ifndef MKFS_RECOVERY_H
#define MKFS_RECOVERY_H

#include <stddef.h>

enum {
	RECOVERY_BYTES = 32,
	RECOVERY_CHECK_BYTES = 2,
	RECOVERY_TEXT_LEN = 8 * (8 + 1) + 4,
};

/* Makes a new one in @text (secret memory). 0, -ENOMEM or -EIO. */
int recovery_make(char text[RECOVERY_TEXT_LEN + 1]);

/*
 * Reads what somebody typed, whatever its dashes, blanks and case. 1 with @text as
 * recovery_make() wrote it; 0 when it does not look like a recovery key; -EINVAL when it
 * does, but with a mistake; -ENOMEM.
 */
int recovery_parse(const void *typed, size_t len, char text[RECOVERY_TEXT_LEN + 1]);

#endif
