/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/slots.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hsm/api/client.h"
#include "hsm/api/secmem.h"
#include "mkfs/options.h"
#include "mkfs/recovery.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

enum {
	ITER_TIME_MS = 2000, /* cryptsetup's for LUKS2, as are the next two */
	PBKDF_MEMORY_KIB = 1024 * 1024,
	PBKDF_LANES = 4,
};

/* cryptsetup's default, but never more than half of the memory there is. */
static uint32_t default_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t half =
		pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 2048 : 0;

	return half && half < PBKDF_MEMORY_KIB ? (uint32_t)half : PBKDF_MEMORY_KIB;
}

/* Costs from the command line; time 0 is to be measured. */
static int choose_costs(const struct options *options, struct keyslot_kdf *kdf)
{
	if (!(options->given & OPTION_PBKDF_TIME)) {
		if (options->given & OPTIONS_PBKDF)
			return say_error(
				EXIT_INVALID,
				"--pbkdf-memory and --pbkdf-parallel need "
				"--pbkdf-force-iterations; without it the costs are "
				"measured.");
		return 0;
	}
	kdf->time = options->pbkdf_time;
	kdf->memory_kib =
		options->pbkdf_memory_kib ? options->pbkdf_memory_kib : default_memory();
	kdf->lanes = options->pbkdf_lanes ? options->pbkdf_lanes : PBKDF_LANES;
	if (!options->pbkdf_lanes && kdf->lanes > kdf->memory_kib / 8)
		kdf->lanes = kdf->memory_kib / 8;
	if ((uint64_t)kdf->time * kdf->memory_kib > KEYSLOT_KDF_MAX_WORK)
		return say_error(EXIT_INVALID,
				 "With %u KiB of memory, --pbkdf-force-iterations is at "
				 "most %u.",
				 kdf->memory_kib, KEYSLOT_KDF_MAX_WORK / kdf->memory_kib);
	if (kdf->memory_kib < 8 * kdf->lanes)
		return say_error(EXIT_INVALID,
				 "argon2id needs 8 KiB of memory for each lane: at least "
				 "--pbkdf-memory %u.",
				 8 * kdf->lanes);
	return 0;
}

int slots_plan(const struct options *options, struct wire_add_slot *plan)
{
	plan->kdf_ms = options->iter_time_ms ? options->iter_time_ms : ITER_TIME_MS;
	plan->pcrs = options->pcrs;
	return choose_costs(options, &plan->kdf);
}

static int add(struct volume *volume, const struct wire_add_slot *plan,
	       enum header_kind kind, const void *pass, size_t len)
{
	struct header *header = &volume->header;
	int rc =
		hsm_add_slot_as(volume->hsm, plan, pass, len, &header->slots[plan->slot]);

	if (rc == -EOPNOTSUPP)
		return say_error(EXIT_INVALID,
				 "The TPM does not have all of these PCRs in a bank of "
				 "SHA-256; choose others for --tpm2-pcrs.");
	if (rc < 0)
		return say_hsm_error("make a key slot", rc);
	header->used[plan->slot] = true;
	header->kinds[plan->slot] = kind;
	return 0;
}

int slots_add_recovery(struct volume *volume, const struct wire_add_slot *plan,
		       const char *text)
{
	struct wire_add_slot least = *plan;

	/* 256 random bits need no stretching. */
	least.kdf = (struct keyslot_kdf){
		.time = 1, .memory_kib = KEYSLOT_KDF_MIN_KIB, .lanes = 1};
	least.pcrs = 0;
	return add(volume, &least, HEADER_RECOVERY, text, RECOVERY_TEXT_LEN);
}

int slots_add(struct volume *volume, const struct wire_add_slot *plan,
	      const struct passphrase *pass)
{
	char *text = secmem_alloc(RECOVERY_TEXT_LEN + 1);
	int code = EXIT_MEMORY, rc;

	rc = text ? recovery_parse(pass->bytes, pass->len, text) : -ENOMEM;
	if (rc == 1 && plan->pcrs)
		code = say_error(EXIT_INVALID,
				 "A recovery key is for when PCRs have changed: it does "
				 "not go with --tpm2-pcrs.");
	else if (rc == 1)
		code = slots_add_recovery(volume, plan, text);
	else if (rc == 0)
		code = add(volume, plan, HEADER_PASSPHRASE, pass->bytes, pass->len);
	else if (rc == -EINVAL)
		code = say_error(EXIT_INVALID,
				 "This reads as a recovery key with a typing mistake; "
				 "correct it, or choose another passphrase.");
	else
		say_error(EXIT_MEMORY, "No memory that can be locked is left.");
	secmem_free(text);
	return code;
}
