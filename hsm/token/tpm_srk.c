// SPDX-License-Identifier: Apache-2.0
/* The storage root key: found, or made as every other TPM software makes it. */
#include "hsm/token/tpm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	SRK_HANDLE = 0x81000001, /* TCG TPM v2.0 Provisioning Guidance, 7.8 */

	/* libtpms starts with 3 tries and 1000 s, too harsh for a mistyped passphrase */
	EMULATOR_MAX_TRIES = 32,
	EMULATOR_RECOVERY_S = 600,
};

/* TCG EK Credential Profile template L-2, changed as the Provisioning Guidance 7.5.1
 * says. */
static const TPM2B_PUBLIC srk_template = {
	.publicArea =
		{
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
					    TPMA_OBJECT_FIXEDTPM |
					    TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
			.parameters.eccDetail =
				{
					.symmetric = {.algorithm = TPM2_ALG_AES,
						      .keyBits.aes = 128,
						      .mode.aes = TPM2_ALG_CFB},
					.scheme.scheme = TPM2_ALG_NULL,
					.curveID = TPM2_ECC_NIST_P256,
					.kdf.scheme = TPM2_ALG_NULL,
				},
			.unique.ecc = {.x.size = 32, .y.size = 32}, /* zeros */
		},
};

static int set_limits(ESYS_CONTEXT *esys, char *why, size_t why_len)
{
	TSS2_RC rc = Esys_DictionaryAttackParameters(
		esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
		EMULATOR_MAX_TRIES, EMULATOR_RECOVERY_S, EMULATOR_RECOVERY_S);

	if (rc != TSS2_RC_SUCCESS)
		snprintf(why, why_len,
			 "the TPM refuses dictionary-attack limits (code 0x%x)", rc);
	return tpm_errno(rc);
}

static TSS2_RC create_primary(ESYS_CONTEXT *esys, ESYS_TR *primary)
{
	static const TPM2B_SENSITIVE_CREATE no_auth;
	static const TPM2B_DATA no_info;
	static const TPML_PCR_SELECTION no_pcr;
	TPM2B_PUBLIC *public = NULL;
	TPM2B_CREATION_DATA *data = NULL;
	TPM2B_DIGEST *hash = NULL;
	TPMT_TK_CREATION *ticket = NULL;
	TSS2_RC rc;

	rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				ESYS_TR_NONE, &no_auth, &srk_template, &no_info, &no_pcr,
				primary, &public, &data, &hash, &ticket);
	Esys_Free(public);
	Esys_Free(data);
	Esys_Free(hash);
	Esys_Free(ticket);
	return rc;
}

static int make(ESYS_CONTEXT *esys, ESYS_TR *srk, char *why, size_t why_len)
{
	ESYS_TR primary = ESYS_TR_NONE;
	TSS2_RC rc = create_primary(esys, &primary);

	if (rc == TSS2_RC_SUCCESS) {
		rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, primary, ESYS_TR_PASSWORD,
				       ESYS_TR_NONE, ESYS_TR_NONE, SRK_HANDLE, srk);
		Esys_FlushContext(esys, primary);
	}
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	if (tpm_code(rc) == TPM2_RC_BAD_AUTH || tpm_code(rc) == TPM2_RC_AUTH_FAIL) {
		snprintf(why, why_len,
			 "the TPM has no storage key at 0x%08x, and making one needs its "
			 "owner's authorization",
			 (unsigned)SRK_HANDLE);
		return -EPERM;
	}
	snprintf(why, why_len, "the TPM refuses to make a storage key (code 0x%x)", rc);
	return tpm_errno(rc);
}

static bool is_storage_key(const TPMT_PUBLIC *public)
{
	const TPMA_OBJECT need =
		TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM;
	const TPMA_OBJECT look = need | TPMA_OBJECT_SIGN_ENCRYPT;

	return (public->type == TPM2_ALG_ECC || public->type == TPM2_ALG_RSA) &&
	       public->nameAlg == TPM2_ALG_SHA256 &&
	       (public->objectAttributes & look) == need;
}

/* Takes the Name only from a key that can protect what we seal under it. */
static int inspect(ESYS_CONTEXT *esys, ESYS_TR srk, uint8_t name[KEYSLOT_TPM_NAME_BYTES],
		   char *why, size_t why_len)
{
	TPM2B_PUBLIC *public = NULL;
	TPM2B_NAME *esys_name = NULL;
	int ret = 0;
	TSS2_RC rc;

	rc = Esys_ReadPublic(esys, srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
			     NULL, NULL);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(esys, srk, &esys_name);
	if (rc != TSS2_RC_SUCCESS) {
		snprintf(why, why_len, "cannot read the TPM's storage key (code 0x%x)",
			 rc);
		ret = tpm_errno(rc);
	} else if (!is_storage_key(&public->publicArea) ||
		   esys_name->size != KEYSLOT_TPM_NAME_BYTES) {
		snprintf(why, why_len,
			 "the key at 0x%08x of this TPM is not a storage key, and is not "
			 "ours to replace",
			 (unsigned)SRK_HANDLE);
		ret = -EEXIST;
	} else {
		memcpy(name, esys_name->name, KEYSLOT_TPM_NAME_BYTES);
	}
	Esys_Free(public);
	Esys_Free(esys_name);
	return ret;
}

int tpm_srk_open(struct token *token, bool emulator, char *why, size_t why_len)
{
	int ret = 0;
	TSS2_RC rc;

	rc = Esys_TR_FromTPMPublic(token->esys, SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE,
				   ESYS_TR_NONE, &token->srk);
	if (tpm_code(rc) == TPM2_RC_HANDLE) {
		/* Limits first: the key's presence means that provisioning is complete.
		 */
		if (emulator)
			ret = set_limits(token->esys, why, why_len);
		if (ret == 0)
			ret = make(token->esys, &token->srk, why, why_len);
	} else if (rc != TSS2_RC_SUCCESS) {
		snprintf(why, why_len, "cannot read the TPM's storage key (code 0x%x)",
			 rc);
		ret = tpm_errno(rc);
	}
	if (ret < 0)
		return ret;
	return inspect(token->esys, token->srk, token->name, why, why_len);
}

int tpm_srk_find(struct token *token)
{
	uint8_t name[KEYSLOT_TPM_NAME_BYTES];
	char why[128];
	TSS2_RC rc;
	int ret;

	rc = Esys_TR_FromTPMPublic(token->esys, SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE,
				   ESYS_TR_NONE, &token->srk);
	if (tpm_code(rc) == TPM2_RC_HANDLE)
		return -ENODEV;
	ret = tpm_errno(rc);
	if (!ret)
		ret = inspect(token->esys, token->srk, name, why, sizeof(why));
	if (!ret && memcmp(name, token->name, sizeof(name)) != 0)
		ret = -ENODEV;
	return ret == -EEXIST ? -ENODEV : ret;
}
