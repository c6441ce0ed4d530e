/* SPDX-License-Identifier: Apache-2.0 */
/* The HSM's TPMs, as people name them. */
#ifndef MKFS_TOKENS_H
#define MKFS_TOKENS_H

#include <stdint.h>

#include "hsm/api/keyslot.h"

struct volume;

/*
 * The Name of the one of @volume's tokens that @text means: its transport ("swtpm") if no
 * other has the same, or how its Name begins. NULL: the first. 0 or an exit code, having
 * said why.
 */
int token_choose(const struct volume *volume, const char *text,
		 uint8_t name[KEYSLOT_TPM_NAME_BYTES]);

#endif
