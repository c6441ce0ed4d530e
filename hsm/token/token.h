/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token: where root keys live. It seals a small secret so that only this token, given
 * the auth value, gives it back. Today a TPM 2.0 over any TCTI.
 *
 * A struct token may be used from several threads; calls are serialised inside. An
 * operation whose answers from the TPM are broken, forged or missing fails; the next one
 * begins anew with the TPM, if it is the same.
 */
#ifndef HSM_TOKEN_TOKEN_H
#define HSM_TOKEN_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "hsm/api/keyslot.h"

struct token;

enum { TOKEN_SECRET_BYTES = 32, TOKEN_AUTH_BYTES = 32 };

/* Platform configuration registers of the SHA-256 bank. */
struct token_pcrs {
	uint32_t mask;					 /* which, a bit each; 0: none */
	uint8_t values[KEYSLOT_PCRS][KEYSLOT_PCR_BYTES]; /* zeros for others */
};

/* What token_seal() makes; goes into a struct keyslot. */
struct token_blob {
	struct token_pcrs pcrs; /* as they were, and must be again */
	uint16_t public_len;
	uint16_t private_len;
	uint8_t public[KEYSLOT_TPM_BLOB_MAX];
	uint8_t private[KEYSLOT_TPM_BLOB_MAX];
};

/*
 * Opens the token named by @conf: "tcti=libtpms" (embedded emulator, state under
 * @state_dir/tpm, which is made if missing), "tcti=swtpm:host=ADDRESS,port=P",
 * "tcti=device:/dev/tpmrm0" or any other "tcti=NAME[:CONF]" of tss2's libraries. Makes
 * the standard ECC P-256 storage root key at 0x81000001 if there is none; never replaces
 * one.
 *
 * Not after a fork of a process that runs the emulator, and before any sandbox that takes
 * away @state_dir or the TPM's device. Sets TSS2_LOG in the environment if it is unset.
 *
 * 0; -EINVAL (bad @conf); -ENODEV (TPM does not answer); -EACCES, -ENOTDIR, -EIO... of
 * the state directory; -EUCLEAN (state there but damaged, or the emulator refuses it; it
 * is left as it is); -EBUSY (another process runs this emulator, or this process one);
 * -EEXIST (0x81000001 holds no storage key); -EPERM (making one needs the owner's
 * authorization); -ENOMEM. On error @why (of @why_len bytes) gets one sentence for
 * people. The caller ends it with token_close().
 */
int token_open(const char *conf, const char *state_dir, struct token **out, char *why,
	       size_t why_len);

/* Sends TPM2_Shutdown, closes. NULL is allowed. */
void token_close(struct token *token);

/* The SRK's Name: KEYSLOT_TPM_NAME_BYTES bytes owned by the token. */
const uint8_t *token_name(const struct token *token);

/* "libtpms", "swtpm", "device"...: the part of conf that names the transport. */
const char *token_kind(const struct token *token);

/*
 * Seals @secret under the SRK with @auth as its auth value (subject to dictionary-attack
 * protection), to be given out only while the PCRs in the mask @pcrs are as they are now.
 * Secrets cross in a salted, encrypted session. 0, -EOPNOTSUPP (the TPM has no such PCR),
 * -EIO, -ENODEV, -ENOMEM, or why the emulator cannot write its state (-ENOSPC...): it
 * goes on when it can.
 */
int token_seal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
	       const uint8_t secret[TOKEN_SECRET_BYTES], uint32_t pcrs,
	       struct token_blob *out);

/*
 * The inverse. -EKEYREJECTED (wrong auth), -EAGAIN (locked out; *@detail: seconds until
 * the next try, or at most so many, 0 if the TPM does not tell), -ESTALE (*@detail: the
 * mask of PCRs that changed; costs no try), -EBADMSG (blob not of this TPM or damaged;
 * costs no try), or an error of token_seal(). @secret is written only on success.
 *
 * The TPM libraries can leave copies of @auth and @secret in ordinary memory. Alone they
 * must open nothing (hsm/keyslot.h).
 */
int token_unseal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
		 const struct token_blob *blob, uint8_t secret[TOKEN_SECRET_BYTES],
		 uint32_t *detail);

#endif
