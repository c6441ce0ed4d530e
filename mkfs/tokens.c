/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/tokens.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "fs/volume/hex.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

enum {
	DIGITS_MIN = 4,
	PREFIX_DIGITS = 4, /* the hash algorithm, which luksDump shows */
};

static bool means(const char *text, const struct wire_token *token)
{
	char hex[2 * KEYSLOT_TPM_NAME_BYTES + 1];
	size_t len = strlen(text);

	if (strcmp(text, token->kind) == 0)
		return true;
	hex_encode(token->tpm_name, KEYSLOT_TPM_NAME_BYTES, hex);
	return (len >= DIGITS_MIN && !strncasecmp(text, hex + PREFIX_DIGITS, len)) ||
	       (len >= PREFIX_DIGITS + DIGITS_MIN && !strncasecmp(text, hex, len));
}

int token_choose(const struct volume *volume, const char *text,
		 uint8_t name[KEYSLOT_TPM_NAME_BYTES])
{
	const struct wire_tokens_reply *all = &volume->tokens;
	const struct wire_token *found = text ? NULL : &all->tokens[0];

	for (uint32_t i = 0; text && i < all->nr_tokens; i++) {
		if (!means(text, &all->tokens[i]))
			continue;
		if (found)
			return say_error(
				EXIT_INVALID,
				"The HSM has several TPMs that %s may mean; name "
				"one as hsmsetup token list does.",
				text);
		found = &all->tokens[i];
	}
	if (!found)
		return say_error(EXIT_DENIED,
				 "The HSM has no TPM %s; hsmsetup token list shows those "
				 "it has, and hsmd --token gives it others.",
				 text);
	memcpy(name, found->tpm_name, KEYSLOT_TPM_NAME_BYTES);
	return 0;
}
