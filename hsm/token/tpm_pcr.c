// SPDX-License-Identifier: Apache-2.0
/* Platform configuration registers: what the machine has booted, as its firmware says. */
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "hsm/token/tpm.h"

enum { SELECT_BYTES = KEYSLOT_PCRS / 8 };

static void select_pcrs(uint32_t mask, TPML_PCR_SELECTION *out)
{
	TPMS_PCR_SELECTION *bank = &out->pcrSelections[0];

	memset(out, 0, sizeof(*out));
	out->count = 1;
	bank->hash = TPM2_ALG_SHA256;
	bank->sizeofSelect = SELECT_BYTES;
	for (int i = 0; i < SELECT_BYTES; i++)
		bank->pcrSelect[i] = (uint8_t)(mask >> (8 * i));
}

static uint32_t selected_pcrs(const TPML_PCR_SELECTION *selection)
{
	const TPMS_PCR_SELECTION *bank = &selection->pcrSelections[0];
	uint32_t mask = 0;

	if (selection->count != 1 || bank->hash != TPM2_ALG_SHA256)
		return 0;
	for (int i = 0; i < SELECT_BYTES && i < bank->sizeofSelect; i++)
		mask |= (uint32_t)bank->pcrSelect[i] << (8 * i);
	return mask;
}

/* Takes @digests for the PCRs in @read, lowest first. False when they do not fit. */
static bool take_values(uint32_t read, const TPML_DIGEST *digests,
			struct token_pcrs *pcrs)
{
	uint32_t nr = 0;

	for (int i = 0; i < KEYSLOT_PCRS; i++) {
		if (!(read >> i & 1))
			continue;
		if (nr == digests->count ||
		    digests->digests[nr].size != KEYSLOT_PCR_BYTES)
			return false;
		memcpy(pcrs->values[i], digests->digests[nr++].buffer, KEYSLOT_PCR_BYTES);
	}
	return nr == digests->count;
}

/*
 * A TPM gives a few at a time. The session is there for its HMAC: else who is on the bus
 * could have a slot bound to values that only his system has.
 */
int tpm_pcr_read(struct token *token, struct token_pcrs *pcrs)
{
	ESYS_TR session = ESYS_TR_NONE;
	uint32_t left = pcrs->mask;
	int ret = tpm_errno(tpm_session_open(
		token, TPM2_SE_HMAC, TPMA_SESSION_AUDIT | TPMA_SESSION_CONTINUESESSION,
		&session));

	memset(pcrs->values, 0, sizeof(pcrs->values));
	while (left && !ret) {
		TPML_PCR_SELECTION want, *got = NULL;
		TPML_DIGEST *digests = NULL;
		uint32_t counter, read = 0;

		select_pcrs(left, &want);
		ret = tpm_errno(Esys_PCR_Read(token->esys, session, ESYS_TR_NONE,
					      ESYS_TR_NONE, &want, &counter, &got,
					      &digests));
		if (!ret)
			read = selected_pcrs(got) & left;
		if (!ret && (!read || !take_values(read, digests, pcrs)))
			ret = -EOPNOTSUPP;
		left &= ~read;
		Esys_Free(got);
		Esys_Free(digests);
	}
	tpm_flush(token, session);
	return ret;
}

/* What TPM2_PolicyPCR() compares: the hash of all values, lowest PCR first. */
static bool hash_values(const struct token_pcrs *pcrs, TPM2B_DIGEST *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

	for (int i = 0; i < KEYSLOT_PCRS && ok; i++)
		if (pcrs->mask >> i & 1)
			ok = EVP_DigestUpdate(ctx, pcrs->values[i], KEYSLOT_PCR_BYTES);
	out->size = KEYSLOT_PCR_BYTES;
	ok = ok && EVP_DigestFinal_ex(ctx, out->buffer, NULL);
	EVP_MD_CTX_free(ctx);
	return ok;
}

TSS2_RC tpm_pcr_policy(struct token *token, ESYS_TR session,
		       const struct token_pcrs *pcrs)
{
	TPML_PCR_SELECTION selection;
	TPM2B_DIGEST digest = {0};
	TSS2_RC rc;

	if (!hash_values(pcrs, &digest))
		return TSS2_ESYS_RC_MEMORY;
	select_pcrs(pcrs->mask, &selection);
	rc = Esys_PolicyPCR(token->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
			    ESYS_TR_NONE, &digest, &selection);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	return Esys_PolicyAuthValue(token->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
				    ESYS_TR_NONE);
}

uint32_t tpm_pcr_changed(struct token *token, const struct token_pcrs *pcrs)
{
	struct token_pcrs now = {.mask = pcrs->mask};
	uint32_t changed = 0;

	if (tpm_pcr_read(token, &now))
		return pcrs->mask;
	for (int i = 0; i < KEYSLOT_PCRS; i++)
		if (pcrs->mask >> i & 1 &&
		    memcmp(now.values[i], pcrs->values[i], KEYSLOT_PCR_BYTES))
			changed |= UINT32_C(1) << i;
	return changed;
}
