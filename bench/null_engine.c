/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/null_engine.h"

#include <string.h>

#include "hsm/api/secmem.h"

static int null_key_init(void *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	memcpy(key, raw, AEAD_KEY_BYTES);
	return 0;
}

static void null_key_fini(void *key)
{
	secmem_wipe(key, AEAD_KEY_BYTES);
}

static int null_seal(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
		     size_t aad_len, const void *in, size_t len, void *out,
		     uint8_t tag[AEAD_TAG_BYTES])
{
	(void)key, (void)nonce, (void)aad, (void)aad_len;
	memmove(out, in, len);
	memset(tag, 1, AEAD_TAG_BYTES);
	return 0;
}

static int null_open(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
		     size_t aad_len, const void *in, size_t len, void *out,
		     const uint8_t tag[AEAD_TAG_BYTES])
{
	(void)key, (void)nonce, (void)aad, (void)aad_len, (void)tag;
	memmove(out, in, len);
	return 0;
}

const struct aead_engine null_engine = {
	.name = "null",
	.key_size = 64,
	.key_init = null_key_init,
	.key_fini = null_key_fini,
	.seal = null_seal,
	.open = null_open,
};
