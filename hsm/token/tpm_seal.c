// SPDX-License-Identifier: Apache-2.0
/*
 * Sealed objects under the storage root key.
 *
 * What opens an object is written in its public area, which the TPM authenticates: its
 * auth value alone (USERWITHAUTH, no policy), or a policy of PCRs and auth value.
 */
#include "hsm/token/tpm.h"

#include <errno.h>
#include <string.h>

#include <tss2/tss2_mu.h>

#include "hsm/api/secmem.h"
#include "hsm/clock.h"
#include "hsm/token/libtpms_tcti.h"

#define SESSION_FLAGS                                                                    \
	(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT)

/* No NODA: guesses of the auth value count in the TPM's dictionary-attack logic. */
static const TPM2B_PUBLIC sealed_template = {
	.publicArea =
		{
			.type = TPM2_ALG_KEYEDHASH,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_USERWITHAUTH |
					    TPMA_OBJECT_FIXEDTPM |
					    TPMA_OBJECT_FIXEDPARENT,
			.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
		},
};

TSS2_RC tpm_session_open(struct token *token, TPM2_SE type, TPMA_SESSION flags,
			 ESYS_TR *session)
{
	static const TPMT_SYM_DEF aes = {
		.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	TSS2_RC rc;

	rc = Esys_StartAuthSession(token->esys, token->srk, ESYS_TR_NONE, ESYS_TR_NONE,
				   ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &aes,
				   TPM2_ALG_SHA256, session);
	if (rc != TSS2_RC_SUCCESS) {
		*session = ESYS_TR_NONE;
		return rc;
	}
	return Esys_TRSess_SetAttributes(token->esys, *session, flags, 0xff);
}

static TSS2_RC session_open(struct token *token, TPM2_SE type, ESYS_TR *session)
{
	return tpm_session_open(token, type, SESSION_FLAGS, session);
}

/*
 * ESYS decrypts the last parameters in place, in a buffer that it keeps: lay others over
 * them. (Copies that the libraries free without wiping are out of reach; keyslot.h's
 * other half of the KEK never comes here.)
 */
static TSS2_RC scrub(struct token *token)
{
	TPM2B_DIGEST *noise = NULL;
	TSS2_RC rc = Esys_GetRandom(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				    48, &noise);

	Esys_Free(noise);
	return rc;
}

void tpm_flush(struct token *token, ESYS_TR handle)
{
	if (handle != ESYS_TR_NONE)
		Esys_FlushContext(token->esys, handle);
}

static void fill_auth(TPM2B_AUTH *out, const uint8_t auth[TOKEN_AUTH_BYTES])
{
	out->size = TOKEN_AUTH_BYTES;
	memcpy(out->buffer, auth, TOKEN_AUTH_BYTES);
}

static int pack(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
		struct token_blob *out)
{
	size_t public_len = 0, private_len = 0;

	memset(out, 0, sizeof(*out));
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, out->public, sizeof(out->public),
					 &public_len) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, out->private, sizeof(out->private),
					  &private_len) != TSS2_RC_SUCCESS)
		return -EIO;
	out->public_len = (uint16_t)public_len;
	out->private_len = (uint16_t)private_len;
	return 0;
}

/* Only what pack() writes: unmarshalling alone overlooks a wrong outer length. */
static int unpack(const struct token_blob *blob, TPM2B_PUBLIC *public,
		  TPM2B_PRIVATE *private)
{
	struct token_blob again;

	if (blob->public_len > sizeof(blob->public) ||
	    blob->private_len > sizeof(blob->private))
		return -EBADMSG;
	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob->public, blob->public_len, NULL,
					   public) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob->private, blob->private_len, NULL,
					    private) != TSS2_RC_SUCCESS)
		return -EBADMSG;
	if (pack(public, private, &again) < 0 || again.public_len != blob->public_len ||
	    again.private_len != blob->private_len ||
	    memcmp(again.public, blob->public, blob->public_len) != 0 ||
	    memcmp(again.private, blob->private, blob->private_len) != 0)
		return -EBADMSG;
	return 0;
}

static int create(struct token *token, ESYS_TR session,
		  const TPM2B_SENSITIVE_CREATE *sensitive, const TPM2B_PUBLIC *template,
		  struct token_blob *out)
{
	static const TPM2B_DATA no_info;
	static const TPML_PCR_SELECTION no_pcr;
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	TPM2B_CREATION_DATA *data = NULL;
	TPM2B_DIGEST *hash = NULL;
	TPMT_TK_CREATION *ticket = NULL;
	ESYS_TR object = ESYS_TR_NONE;
	TSS2_RC rc;
	int ret;

	rc = Esys_Create(token->esys, token->srk, session, ESYS_TR_NONE, ESYS_TR_NONE,
			 sensitive, template, &no_info, &no_pcr, &private, &public, &data,
			 &hash, &ticket);
	/* Before someone's data depends on it; it also overwrites ESYS' copy of
	 * @sensitive. */
	if (rc == TSS2_RC_SUCCESS) {
		rc = Esys_Load(token->esys, token->srk, session, ESYS_TR_NONE,
			       ESYS_TR_NONE, private, public, &object);
		tpm_flush(token, object);
	}
	ret = tpm_errno(rc);
	if (ret == 0)
		ret = pack(public, private, out);
	Esys_Free(private);
	Esys_Free(public);
	Esys_Free(data);
	Esys_Free(hash);
	Esys_Free(ticket);
	return ret;
}

/*
 * The emulator leaves an object that was flushed in its slot, in ordinary memory of ours:
 * lay an object of zeros over it. Failing costs only that.
 */
static void scrub_slot(struct token *token)
{
	static const TPM2B_SENSITIVE_CREATE zeros = {
		.sensitive = {.userAuth.size = TOKEN_AUTH_BYTES,
			      .data.size = TOKEN_SECRET_BYTES}};
	struct token_blob nobody;

	if (token->embedded)
		create(token, ESYS_TR_PASSWORD, &zeros, &sealed_template, &nobody);
}

/*
 * A TPM in failure mode stays so until its power goes, as it should; ours goes off and on
 * again when all that was wrong is that its state could not be written.
 */
static bool may_help_to_renew(const struct token *token, TSS2_RC rc)
{
	if (rc == TSS2_RC_SUCCESS || tpm_code(rc) != TPM2_RC_FAILURE)
		return rc != TSS2_RC_SUCCESS;
	return token->embedded && libtpms_tcti_error(token->tcti);
}

/* An operation's first command, which may be repeated: nothing is shown to the TPM yet.
 */
static int begin(struct token *token, ESYS_TR *session)
{
	TSS2_RC rc = TSS2_TCTI_RC_NO_CONNECTION;
	int ret;

	if (token->esys)
		rc = session_open(token, TPM2_SE_HMAC, session);
	if (!may_help_to_renew(token, rc))
		return tpm_errno(rc);
	ret = tpm_renew(token);
	return ret ? ret : tpm_errno(session_open(token, TPM2_SE_HMAC, session));
}

/*
 * Whatever broke in between, the next operation must find all in order. This one is not
 * repeated: it may have cost a try.
 */
static void end(struct token *token, ESYS_TR object, ESYS_TR session)
{
	if (!token->esys)
		return;
	tpm_flush(token, object);
	scrub_slot(token);
	tpm_flush(token, session);
	if (may_help_to_renew(token, scrub(token)) && !tpm_renew(token)) {
		scrub_slot(token);
		scrub(token);
	}
}

/* Only the policy of @pcrs, as they are now, opens what is made from @template then. */
static int demand_pcrs(struct token *token, struct token_pcrs *pcrs,
		       TPM2B_PUBLIC *template)
{
	TPM2B_DIGEST *digest = NULL;
	ESYS_TR trial = ESYS_TR_NONE;
	int ret = tpm_pcr_read(token, pcrs);
	TSS2_RC rc;

	if (ret < 0)
		return ret;
	rc = session_open(token, TPM2_SE_TRIAL, &trial);
	if (rc == TSS2_RC_SUCCESS)
		rc = tpm_pcr_policy(token, trial, pcrs);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_PolicyGetDigest(token->esys, trial, ESYS_TR_NONE, ESYS_TR_NONE,
					  ESYS_TR_NONE, &digest);
	if (rc == TSS2_RC_SUCCESS) {
		template->publicArea.authPolicy = *digest;
		template->publicArea.objectAttributes &=
			~(TPMA_OBJECT)TPMA_OBJECT_USERWITHAUTH;
	}
	tpm_flush(token, trial);
	Esys_Free(digest);
	return tpm_errno(rc);
}

int token_seal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
	       const uint8_t secret[TOKEN_SECRET_BYTES], uint32_t pcrs,
	       struct token_blob *out)
{
	TPM2B_SENSITIVE_CREATE *sensitive = secmem_alloc(sizeof(*sensitive));
	struct token_pcrs now = {.mask = pcrs};
	TPM2B_PUBLIC template = sealed_template;
	ESYS_TR session = ESYS_TR_NONE;
	int ret;

	if (!sensitive)
		return -ENOMEM;
	fill_auth(&sensitive->sensitive.userAuth, auth);
	sensitive->sensitive.data.size = TOKEN_SECRET_BYTES;
	memcpy(sensitive->sensitive.data.buffer, secret, TOKEN_SECRET_BYTES);

	pthread_mutex_lock(&token->lock);
	ret = begin(token, &session);
	if (ret == 0 && pcrs)
		ret = demand_pcrs(token, &now, &template);
	if (ret == 0)
		ret = create(token, session, sensitive, &template, out);
	if (ret == 0)
		out->pcrs = now;
	ret = tpm_reason(token, ret);
	end(token, ESYS_TR_NONE, session);
	pthread_mutex_unlock(&token->lock);
	secmem_free(sensitive);
	return ret;
}

/* Any complaint about the blob itself, from the TPM or from tss2 marshalling it. */
static int load_errno(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	if (tpm_code(rc) & TPM2_RC_FMT1)
		return -EBADMSG;
	if (layer == TSS2_MU_RC_LAYER || layer == TSS2_SYS_RC_LAYER)
		return -EBADMSG;
	return tpm_errno(rc);
}

/*
 * The interval begins with the last wrong auth value. The TPM does not tell how much of
 * it has passed: we know if we were there, else all of it is the upper bound.
 */
static uint32_t seconds_left(const struct token *token, uint64_t seconds)
{
	uint64_t passed =
		token->failed_ms ? (clock_now_ms() - token->failed_ms) / 1000 : 0;

	if (passed >= seconds)
		return 1;
	seconds -= passed;
	return seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

static uint32_t lockout_seconds(struct token *token)
{
	TPMS_CAPABILITY_DATA *cap = NULL;
	uint32_t tries = 0, max = 0, interval = 0;
	TPMI_YES_NO more;

	if (Esys_GetCapability(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			       TPM2_CAP_TPM_PROPERTIES, TPM2_PT_LOCKOUT_COUNTER, 3, &more,
			       &cap) != TSS2_RC_SUCCESS)
		return 0;
	for (uint32_t i = 0; i < cap->data.tpmProperties.count; i++) {
		const TPMS_TAGGED_PROPERTY *p = &cap->data.tpmProperties.tpmProperty[i];

		if (p->property == TPM2_PT_LOCKOUT_COUNTER)
			tries = p->value;
		else if (p->property == TPM2_PT_MAX_AUTH_FAIL)
			max = p->value;
		else if (p->property == TPM2_PT_LOCKOUT_INTERVAL)
			interval = p->value;
	}
	Esys_Free(cap);
	return seconds_left(token,
			    (uint64_t)interval * (tries > max ? tries - max + 1 : 1));
}

/* TPM2_RC_VALUE is PolicyPCR's, PCR_CHANGED that of PCRs that changed since. */
static int unseal_errno(struct token *token, TSS2_RC rc, const struct token_pcrs *pcrs,
			uint32_t *detail)
{
	uint32_t code = tpm_code(rc);

	if (code == TPM2_RC_AUTH_FAIL || code == TPM2_RC_BAD_AUTH) {
		token->failed_ms = clock_now_ms();
		return -EKEYREJECTED;
	}
	if (code == TPM2_RC_LOCKOUT) {
		*detail = lockout_seconds(token);
		return -EAGAIN;
	}
	if (pcrs->mask && (code == TPM2_RC_VALUE || code == TPM2_RC_PCR_CHANGED)) {
		*detail = tpm_pcr_changed(token, pcrs);
		return *detail ? -ESTALE : -EBADMSG;
	}
	/* what was said of the PCRs, or that there are any, is not what was sealed */
	if (code == TPM2_RC_POLICY_FAIL || code == TPM2_RC_AUTH_UNAVAILABLE ||
	    code == TPM2_RC_AUTH_TYPE)
		return -EBADMSG;
	return tpm_errno(rc);
}

/* ESYS keeps an object's auth value and frees it unwiped: overwrite it. */
static void forget_auth(struct token *token, ESYS_TR object)
{
	TPM2B_AUTH zero = {.size = TOKEN_AUTH_BYTES};

	Esys_TR_SetAuth(token->esys, object, &zero);
}

static int unseal(struct token *token, ESYS_TR object, ESYS_TR session,
		  const uint8_t auth[TOKEN_AUTH_BYTES], const struct token_pcrs *pcrs,
		  uint8_t secret[TOKEN_SECRET_BYTES], uint32_t *detail)
{
	TPM2B_AUTH *value = secmem_alloc(sizeof(*value));
	TPM2B_SENSITIVE_DATA *data = NULL;
	ESYS_TR policy = ESYS_TR_NONE;
	TSS2_RC rc = TSS2_RC_SUCCESS;
	int ret = 0;

	if (!value)
		return -ENOMEM;
	if (pcrs->mask) {
		rc = session_open(token, TPM2_SE_POLICY, &policy);
		if (rc == TSS2_RC_SUCCESS)
			rc = tpm_pcr_policy(token, policy, pcrs);
		session = policy;
	}
	fill_auth(value, auth);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_SetAuth(token->esys, object, value);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Unseal(token->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE,
				 &data);
	if (rc != TSS2_RC_SUCCESS)
		ret = unseal_errno(token, rc, pcrs, detail);
	else if (data->size != TOKEN_SECRET_BYTES)
		ret = -EBADMSG;
	else
		memcpy(secret, data->buffer, TOKEN_SECRET_BYTES);
	if (data)
		secmem_wipe(data, sizeof(*data));
	Esys_Free(data);
	forget_auth(token, object);
	tpm_flush(token, policy);
	secmem_free(value);
	return ret;
}

int token_unseal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
		 const struct token_blob *blob, uint8_t secret[TOKEN_SECRET_BYTES],
		 uint32_t *detail)
{
	ESYS_TR session = ESYS_TR_NONE, object = ESYS_TR_NONE;
	TPM2B_PUBLIC public = {0};
	TPM2B_PRIVATE private = {0};
	int ret;

	*detail = 0;
	ret = unpack(blob, &public, &private);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&token->lock);
	ret = begin(token, &session);
	if (ret < 0)
		goto out;
	ret = load_errno(Esys_Load(token->esys, token->srk, session, ESYS_TR_NONE,
				   ESYS_TR_NONE, &private, &public, &object));
	if (ret < 0)
		goto out;
	ret = unseal(token, object, session, auth, &blob->pcrs, secret, detail);
out:
	ret = tpm_reason(token, ret);
	end(token, object, session);
	pthread_mutex_unlock(&token->lock);
	return ret;
}
