/* SPDX-License-Identifier: Apache-2.0 */
/* New key slots. Functions return 0 or an exit code, having said why. */
#ifndef MKFS_SLOTS_H
#define MKFS_SLOTS_H

#include "hsm/api/wire.h"

struct options;
struct passphrase;
struct volume;

/* Puts costs and PCRs from the command line into @plan; its slot and TPM stay. */
int slots_plan(const struct options *options, struct wire_add_slot *plan);

/*
 * Makes the slot of @plan in @volume's header, which is not stored yet, and whose session
 * is open. What is a recovery key becomes a recovery slot.
 */
int slots_add(struct volume *volume, const struct wire_add_slot *plan,
	      const struct passphrase *pass);

/* The same for @text, as recovery_make() writes it: at no cost, without PCRs. */
int slots_add_recovery(struct volume *volume, const struct wire_add_slot *plan,
		       const char *text);

#endif
