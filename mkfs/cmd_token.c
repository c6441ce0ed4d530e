/* SPDX-License-Identifier: Apache-2.0 */
/* token: which TPMs the HSM has open. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "fs/volume/hex.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

static int print_json(const struct wire_tokens_reply *tokens)
{
	json_t *list = json_array();
	int rc = 0;

	for (uint32_t i = 0; i < tokens->nr_tokens; i++) {
		char name[2 * KEYSLOT_TPM_NAME_BYTES + 1];

		hex_encode(tokens->tokens[i].tpm_name, KEYSLOT_TPM_NAME_BYTES, name);
		rc |= json_array_append_new(list, json_pack("{s:s,s:s}", "type",
							    tokens->tokens[i].kind,
							    "name", name));
	}
	if (rc == 0)
		rc = json_dumpf(list, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	json_decref(list);
	if (rc < 0)
		return say_error(EXIT_MEMORY, "Out of memory.");
	putchar('\n');
	return 0;
}

/* Without the name of the hash, as TPMs are named in messages. */
static void print_text(const struct wire_tokens_reply *tokens)
{
	for (uint32_t i = 0; i < tokens->nr_tokens; i++) {
		char hash[2 * KEYSLOT_TPM_NAME_BYTES - 3];

		hex_encode(tokens->tokens[i].tpm_name + 2, KEYSLOT_TPM_NAME_BYTES - 2,
			   hash);
		printf("%-12s %s\n", tokens->tokens[i].kind, hash);
	}
}

int cmd_token(char *const args[], const struct options *options)
{
	struct volume nothing = {.dirfd = -1};
	int code;

	if (strcmp(args[0], "list") != 0)
		return say_error(EXIT_INVALID, "Usage: hsmsetup token [OPTIONS] list");
	code = volume_connect(&nothing);
	if (code == 0 && options->given & OPTION_JSON)
		code = print_json(&nothing.tokens);
	else if (code == 0)
		print_text(&nothing.tokens);
	volume_close(&nothing);
	return code;
}
