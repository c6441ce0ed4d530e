/* SPDX-License-Identifier: Apache-2.0 */
/* luksAddKey, luksKillSlot: further key slots, on this TPM or another, and fewer. */
#include <stdlib.h>
#include <string.h>

#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/passphrase.h"
#include "mkfs/say.h"
#include "mkfs/slots.h"
#include "mkfs/tokens.h"
#include "mkfs/volume.h"

static int choose_slot(const struct header *header, const struct options *options,
		       uint32_t *slot)
{
	if (options->given & OPTION_SLOT) {
		*slot = options->slot;
		if (!header->used[*slot])
			return 0;
		return say_error(EXIT_BUSY, "Key slot %u is in use; choose another.",
				 *slot);
	}
	for (*slot = 0; *slot < KEYSLOT_COUNT; ++*slot)
		if (!header->used[*slot])
			return 0;
	return say_error(EXIT_BUSY, "All %d key slots are in use; remove one first.",
			 KEYSLOT_COUNT);
}

/* Of an unlocked volume. */
static int add_key(struct volume *volume, struct wire_add_slot *plan,
		   const struct options *options)
{
	const struct passphrase_source source = {.key_file = options->new_key_file};
	struct passphrase pass = {0};
	int code = choose_slot(&volume->header, options, &plan->slot);

	if (code == 0)
		code = token_choose(volume, options->token, plan->tpm_name);
	if (code == 0)
		code = passphrase_read_new(&source, "Enter new passphrase for key slot: ",
					   options->given & OPTION_BATCH, &pass);
	if (code == 0)
		code = slots_add(volume, plan, &pass);
	passphrase_fini(&pass);
	return code ? code : volume_store(volume);
}

int cmd_add_key(char *const args[], const struct options *options)
{
	struct wire_add_slot plan = {0};
	struct volume volume;
	int code = slots_plan(options, &plan);

	if (code == 0)
		code = volume_open_locked(args[0], &volume);
	if (code)
		return code;
	code = volume_unlock(&volume, &options->key);
	if (code == 0)
		code = add_key(&volume, &plan, options);
	volume_close(&volume);
	return code;
}

static bool is_last(const struct header *header, unsigned slot)
{
	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++)
		if (nr != slot && header->used[nr] && header->kinds[nr] != HEADER_FOREIGN)
			return false;
	return true;
}

static int check_removable(const struct volume *volume, unsigned slot, bool batch)
{
	if (!volume->header.used[slot])
		return say_error(EXIT_INVALID, "Key slot %u is not in use.", slot);
	if (!is_last(&volume->header, slot) || batch)
		return 0;
	return say_error(
		EXIT_INVALID,
		"Key slot %u is the last one: without it nobody can ever open the volume "
		"again. If that is what you want, add --batch-mode.",
		slot);
}

static int kill_slot(struct volume *volume, unsigned slot, const struct options *options)
{
	bool batch = options->given & OPTION_BATCH;
	int code = check_removable(volume, slot, batch);

	/* Who can open no other slot must not lock himself out. */
	if (!batch)
		volume->passed_over = UINT32_C(1) << slot;
	if (code == 0)
		code = volume_unlock(volume, &options->key);
	/* Again, since unlocking may have found that the other copy is the right one. */
	if (code == 0)
		code = check_removable(volume, slot, batch);
	if (code)
		return code;
	volume->header.used[slot] = false;
	return volume_store(volume);
}

int cmd_kill_slot(char *const args[], const struct options *options)
{
	struct volume volume;
	char *end;
	unsigned long slot = strtoul(args[1], &end, 10);
	int code;

	if (*args[1] < '0' || *args[1] > '9' || *end || slot >= KEYSLOT_COUNT)
		return say_error(EXIT_INVALID, "Key slots are numbered from 0 to %d.",
				 KEYSLOT_COUNT - 1);
	code = volume_open_locked(args[0], &volume);
	if (code)
		return code;
	code = kill_slot(&volume, (unsigned)slot, options);
	volume_close(&volume);
	return code;
}
