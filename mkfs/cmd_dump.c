/* SPDX-License-Identifier: Apache-2.0 */
/* luksDump: the header as it is on disk. Needs no key, so nothing of it is verified. */
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "fs/volume/hex.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

static const char *const state_texts[] = {
	[HEADER_CLEAN] = "clean",
	[HEADER_MOUNTED] = "mounted (or a mount has died)",
	[HEADER_UNSETTLED] = "unsettled (a mount has died)",
};

static const char *const kind_texts[] = {
	[HEADER_FOREIGN] = "of a later version",
	[HEADER_PASSPHRASE] = "passphrase",
	[HEADER_RECOVERY] = "recovery key",
};

static void print_pcrs(uint32_t pcrs)
{
	const char *before = "\tPCRs:       ";

	for (int nr = 0; nr < KEYSLOT_PCRS; nr++) {
		if (!(pcrs >> nr & 1))
			continue;
		printf("%s%d", before, nr);
		before = "+";
	}
	putchar('\n');
}

static void print_slot(const struct header *header, unsigned nr)
{
	const struct keyslot *slot = &header->slots[nr];
	char salt[2 * KEYSLOT_SALT_BYTES + 1];
	char name[2 * KEYSLOT_TPM_NAME_BYTES + 1];

	printf("  %u: %s\n", nr, kind_texts[header->kinds[nr]]);
	if (header->kinds[nr] == HEADER_FOREIGN)
		return;
	hex_encode(slot->kdf.salt, sizeof(slot->kdf.salt), salt);
	hex_encode(slot->tpm_name, sizeof(slot->tpm_name), name);
	printf("\tPBKDF:      argon2id\n");
	printf("\tTime cost:  %" PRIu32 "\n", slot->kdf.time);
	printf("\tMemory:     %" PRIu32 "\n", slot->kdf.memory_kib);
	printf("\tThreads:    %" PRIu32 "\n", slot->kdf.lanes);
	printf("\tSalt:       %s\n", salt);
	printf("\tToken:      tpm2\n");
	printf("\tTPM name:   %s\n", name);
	if (slot->pcrs)
		print_pcrs(slot->pcrs);
}

static void print_text(const struct volume *volume)
{
	const struct header *header = &volume->header;
	char uuid[37];

	header_uuid_text(header->uuid, uuid);
	printf("hsmfs volume header\n");
	printf("Format:     1\n");
	printf("Sequence:   %" PRIu64 "\n", header->sequence);
	printf("UUID:       %s\n", uuid);
	printf("State:      %s\n", state_texts[header->state]);
	printf("Directory:  %s\n\nKeyslots:\n", volume->path);
	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		if (header->used[nr])
			print_slot(header, nr);
	}
}

/* Escaped to ASCII: what a hostile header has must not reach the terminal as it is. */
static int print_json(const struct header *header)
{
	if (json_dumpf(header->json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) < 0)
		return say_error(EXIT_MEMORY, "Out of memory.");
	putchar('\n');
	return 0;
}

int cmd_dump(char *const args[], const struct options *options)
{
	struct volume volume;
	int code = volume_open(args[0], &volume);

	if (code)
		return code;
	if (options->given & OPTION_JSON)
		code = print_json(&volume.header);
	else
		print_text(&volume);
	volume_close(&volume);
	return code;
}
