/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the TPM 2.0 token: what tpm.c, tpm_srk.c and tpm_seal.c share. */
#ifndef HSM_TOKEN_TPM_H
#define HSM_TOKEN_TPM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tss2/tss2_esys.h>

#include "hsm/token/token.h"

enum { TOKEN_KIND_MAX = 32 };

struct token {
	pthread_mutex_t lock;	 /* one command at a time; covers @esys */
	ESYS_CONTEXT *esys;	 /* NULL: the TPM could not be reached anew */
	TSS2_TCTI_CONTEXT *tcti; /* NULL as well then, but not when it is embedded */
	void *library; /* that has @init; the sandbox lets none be loaded later */
	TSS2_TCTI_INIT_FUNC init;
	char *conf; /* for @init; may be NULL */
	ESYS_TR srk;
	bool embedded;	    /* @tcti is libtpms_tcti.h's */
	uint64_t failed_ms; /* when a wrong auth value was last seen, or 0 */
	char kind[TOKEN_KIND_MAX];
	uint8_t name[KEYSLOT_TPM_NAME_BYTES];
};

/*
 * The TPM's response code in @rc without parameter, session or handle number, or 0 when
 * @rc did not come from the TPM but from a layer above it.
 */
uint32_t tpm_code(TSS2_RC rc);

/* 0, -ENODEV (the TPM does not answer), -ENOMEM or -EIO. */
int tpm_errno(TSS2_RC rc);

/* @ret, or if that is an error because the embedded TPM cannot write its state, why. */
int tpm_reason(const struct token *token, int ret);

/*
 * A session salted with the storage root key, so that who is on the bus neither learns
 * auth values and what is encrypted nor can change what it is used for. Ended by
 * tpm_flush(). As all below: the lock is held.
 */
TSS2_RC tpm_session_open(struct token *token, TPM2_SE type, TPMA_SESSION flags,
			 ESYS_TR *session);

/* Ends a session or unloads an object; ESYS_TR_NONE is allowed. */
void tpm_flush(struct token *token, ESYS_TR handle);

/*
 * ESYS takes no more commands after an answer that it does not believe or did not get:
 * begins anew with the same TPM, and flushes what was left in it. 0, -ENODEV (it does not
 * answer, or another one does), -ENOMEM or -EIO; then the next operation tries again.
 */
int tpm_renew(struct token *token);

/*
 * The values of the PCRs in @pcrs->mask, authenticated by the TPM. 0, -EOPNOTSUPP (one is
 * not there), or tpm_errno()'s.
 */
int tpm_pcr_read(struct token *token, struct token_pcrs *pcrs);

/*
 * Puts into policy session @session that the PCRs are @pcrs and that the object's auth
 * value is shown. A trial session takes any values; another TPM2_RC_VALUE when they
 * differ.
 */
TSS2_RC tpm_pcr_policy(struct token *token, ESYS_TR session,
		       const struct token_pcrs *pcrs);

/* The mask of PCRs that are not (or can't be told to be) as in @pcrs. */
uint32_t tpm_pcr_changed(struct token *token, const struct token_pcrs *pcrs);

/*
 * Finds the storage root key or makes it, and with it fills @token's srk and name. An
 * @emulator that has none yet also gets dictionary-attack limits fit for people.
 */
int tpm_srk_open(struct token *token, bool emulator, char *why, size_t why_len);

/* Finds the key that tpm_srk_open() did. 0, -ENODEV (it is not there) or tpm_errno()'s.
 */
int tpm_srk_find(struct token *token);

#endif
