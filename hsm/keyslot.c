// SPDX-License-Identifier: Apache-2.0
#include "hsm/keyslot.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/kdf.h"
#include "hsm/crypto/random.h"
#include "hsm/token/token.h"

/* Associated data of the wrapped VMK: all else in the slot, and whose slot it is. */
struct slot_aad {
	uint32_t slot; /* integers little-endian, whatever machine this is */
	uint32_t time;
	uint32_t memory_kib;
	uint32_t lanes;
	uint8_t salt[KEYSLOT_SALT_BYTES];
	uint8_t tpm_name[KEYSLOT_TPM_NAME_BYTES];
	uint16_t tpm_public_len;
	uint16_t tpm_private_len;
	uint8_t tpm_public[KEYSLOT_TPM_BLOB_MAX];
	uint8_t tpm_private[KEYSLOT_TPM_BLOB_MAX];
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	/* only if there are any */
	uint32_t pcrs;
	uint8_t pcr_values[KEYSLOT_PCRS][KEYSLOT_PCR_BYTES];
} __attribute__((packed));
_Static_assert(offsetof(struct slot_aad, pcrs) == 1126, "associated data of a slot");
_Static_assert(sizeof(struct slot_aad) == 1898, "associated data of a slot with PCRs");

struct wrapped_vmk {
	uint8_t nonce[AEAD_NONCE_BYTES];
	uint8_t vmk[KEYSLOT_VMK_BYTES];
	uint8_t tag[AEAD_TAG_BYTES];
};
_Static_assert((int)KEYSLOT_KEK_BYTES == (int)AEAD_KEY_BYTES, "key of a slot");
_Static_assert(sizeof(struct wrapped_vmk) == KEYSLOT_WRAPPED_BYTES,
	       "wrapped key on disk");

/* Everything secret on the way from passphrase to KEK; secret memory. */
struct secrets {
	uint8_t stretched[KDF_PASSPHRASE_BYTES]; /* auth value | half of the KEK's input
						  */
	uint8_t ikm[TOKEN_SECRET_BYTES + KDF_PASSPHRASE_BYTES - TOKEN_AUTH_BYTES];
	uint8_t prk[32];
	uint8_t kek[AEAD_KEY_BYTES];
};

/* Returns its length. */
static size_t make_aad(const struct keyslot *slot, const uint8_t *uuid,
		       struct slot_aad *aad)
{
	aad->slot = htole32(slot->slot);
	aad->time = htole32(slot->kdf.time);
	aad->memory_kib = htole32(slot->kdf.memory_kib);
	aad->lanes = htole32(slot->kdf.lanes);
	memcpy(aad->salt, slot->kdf.salt, sizeof(aad->salt));
	memcpy(aad->tpm_name, slot->tpm_name, sizeof(aad->tpm_name));
	aad->tpm_public_len = htole16(slot->tpm_public_len);
	aad->tpm_private_len = htole16(slot->tpm_private_len);
	memcpy(aad->tpm_public, slot->tpm_public, sizeof(aad->tpm_public));
	memcpy(aad->tpm_private, slot->tpm_private, sizeof(aad->tpm_private));
	memcpy(aad->uuid, uuid, sizeof(aad->uuid));
	aad->pcrs = htole32(slot->pcrs);
	memcpy(aad->pcr_values, slot->pcr_values, sizeof(aad->pcr_values));
	return slot->pcrs ? sizeof(*aad) : offsetof(struct slot_aad, pcrs);
}

/* KEK from the token's secret (the first half of @s->ikm) and the passphrase's. */
static int derive_kek(struct secrets *s, const uint8_t *uuid, uint32_t slot)
{
	const uint32_t number = htole32(slot);
	int ret;

	memcpy(s->ikm + TOKEN_SECRET_BYTES, s->stretched + TOKEN_AUTH_BYTES,
	       KDF_PASSPHRASE_BYTES - TOKEN_AUTH_BYTES);
	ret = kdf_extract(uuid, KEYSLOT_UUID_BYTES, s->ikm, sizeof(s->ikm), s->prk);
	if (ret == 0)
		ret = kdf_expand(s->prk, KDF_LABEL_KEK, &number, sizeof(number), s->kek,
				 sizeof(s->kek));
	return ret;
}

/* An expanded KEK in secret memory, or NULL. */
static void *expand_kek(const struct aead_engine *engine, const uint8_t *kek)
{
	void *key = secmem_alloc(engine->key_size);

	if (key && engine->key_init(key, kek) < 0) {
		secmem_free(key);
		key = NULL;
	}
	return key;
}

int keyslot_seal(const uint8_t kek[KEYSLOT_KEK_BYTES],
		 const uint8_t uuid[KEYSLOT_UUID_BYTES],
		 const uint8_t vmk[KEYSLOT_VMK_BYTES], struct keyslot *slot)
{
	const struct aead_engine *engine = aead_select("openssl");
	struct wrapped_vmk wrapped;
	struct slot_aad aad;
	size_t aad_len;
	void *key;
	int ret;

	if (!engine)
		return -EIO;
	key = expand_kek(engine, kek);
	if (!key)
		return -ENOMEM;
	aad_len = make_aad(slot, uuid, &aad);
	ret = random_bytes(wrapped.nonce, sizeof(wrapped.nonce));
	if (ret == 0)
		ret = engine->seal(key, wrapped.nonce, &aad, aad_len, vmk,
				   KEYSLOT_VMK_BYTES, wrapped.vmk, wrapped.tag);
	if (ret == 0)
		memcpy(slot->wrapped_vmk, &wrapped, sizeof(wrapped));
	engine->key_fini(key);
	secmem_free(key);
	return ret;
}

static int open_vmk(const struct secrets *s, const uint8_t *uuid,
		    const struct keyslot *slot, uint8_t *vmk)
{
	const struct aead_engine *engine = aead_select("openssl");
	struct wrapped_vmk wrapped;
	struct slot_aad aad;
	size_t aad_len;
	void *key;
	int ret;

	if (!engine)
		return -EIO;
	key = expand_kek(engine, s->kek);
	if (!key)
		return -ENOMEM;
	aad_len = make_aad(slot, uuid, &aad);
	memcpy(&wrapped, slot->wrapped_vmk, sizeof(wrapped));
	ret = engine->open(key, wrapped.nonce, &aad, aad_len, wrapped.vmk,
			   KEYSLOT_VMK_BYTES, vmk, wrapped.tag);
	engine->key_fini(key);
	secmem_free(key);
	return ret;
}

static int seal_secret(struct token *token, const struct secrets *s, struct keyslot *slot)
{
	struct token_blob blob;
	int ret = token_seal(token, s->stretched, s->ikm, slot->pcrs, &blob);

	if (ret < 0)
		return ret;
	slot->tpm_public_len = blob.public_len;
	slot->tpm_private_len = blob.private_len;
	memcpy(slot->tpm_public, blob.public, sizeof(slot->tpm_public));
	memcpy(slot->tpm_private, blob.private, sizeof(slot->tpm_private));
	memcpy(slot->tpm_name, token_name(token), sizeof(slot->tpm_name));
	memcpy(slot->pcr_values, blob.pcrs.values, sizeof(slot->pcr_values));
	return 0;
}

static int unseal_secret(struct token *token, struct secrets *s,
			 const struct keyslot *slot, uint32_t *detail)
{
	struct token_blob blob = {
		.public_len = slot->tpm_public_len,
		.private_len = slot->tpm_private_len,
		.pcrs.mask = slot->pcrs,
	};

	memcpy(blob.public, slot->tpm_public, sizeof(blob.public));
	memcpy(blob.private, slot->tpm_private, sizeof(blob.private));
	memcpy(blob.pcrs.values, slot->pcr_values, sizeof(blob.pcrs.values));
	return token_unseal(token, s->stretched, &blob, s->ikm, detail);
}

int keyslot_prepare(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		    const void *pass, size_t pass_len, struct keyslot *slot,
		    uint8_t kek[KEYSLOT_KEK_BYTES])
{
	struct secrets *s;
	int ret;

	if (slot->slot >= KEYSLOT_COUNT || slot->pcrs >> KEYSLOT_PCRS)
		return -EINVAL;
	s = secmem_alloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	ret = kdf_passphrase(&slot->kdf, pass, pass_len, s->stretched);
	if (ret == 0)
		ret = random_bytes(s->ikm, TOKEN_SECRET_BYTES);
	if (ret == 0)
		ret = seal_secret(token, s, slot);
	if (ret == 0)
		ret = derive_kek(s, uuid, slot->slot);
	if (ret == 0)
		memcpy(kek, s->kek, KEYSLOT_KEK_BYTES);
	secmem_free(s);
	return ret;
}

int keyslot_unwrap(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		   const struct keyslot *slot, const void *pass, size_t pass_len,
		   uint8_t vmk[KEYSLOT_VMK_BYTES], uint32_t *detail)
{
	struct secrets *s;
	int ret;

	*detail = 0;
	if (slot->slot >= KEYSLOT_COUNT || slot->pcrs >> KEYSLOT_PCRS)
		return -EBADMSG;
	if (memcmp(slot->tpm_name, token_name(token), sizeof(slot->tpm_name)) != 0)
		return -ENXIO;
	s = secmem_alloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	ret = kdf_passphrase(&slot->kdf, pass, pass_len, s->stretched);
	if (ret == 0)
		ret = unseal_secret(token, s, slot, detail);
	if (ret == 0)
		ret = derive_kek(s, uuid, slot->slot);
	if (ret == 0)
		ret = open_vmk(s, uuid, slot, vmk);
	if (ret < 0)
		secmem_wipe(vmk, KEYSLOT_VMK_BYTES);
	secmem_free(s);
	return ret;
}
