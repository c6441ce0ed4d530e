/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wraps and unwraps the volume master key (VMK) in key slots:
 *
 *   A   = argon2id(passphrase), 64 bytes
 *   S   = secret sealed by the token, auth value A[0..31]
 *   KEK = HKDF-SHA256(S | A[32..63], salt = volume uuid, info = label | slot)
 *   VMK = AES-256-GCM-open(KEK, wrapped_vmk, AAD = all other bytes of the slot | uuid)
 *
 * Thread-safe. @vmk is secret memory of the caller.
 */
#ifndef HSM_KEYSLOT_H
#define HSM_KEYSLOT_H

#include <stddef.h>
#include <stdint.h>

#include "hsm/api/keyslot.h"

struct token;

/*
 * Fills @slot (whose slot number, kdf and pcrs are given) so that @pass and @token open
 * it, while these PCRs are as they are now. 0, -ENOMEM, -EINVAL, or an error of
 * token_seal().
 */
int keyslot_wrap(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		 const void *pass, size_t pass_len, const uint8_t vmk[KEYSLOT_VMK_BYTES],
		 struct keyslot *slot);

/*
 * -EKEYREJECTED (wrong passphrase), -EAGAIN and -ESTALE with *@detail as token_unseal()
 * (TPM locked out, PCRs changed), -ENXIO (the slot belongs to another TPM), -EBADMSG
 * (slot damaged), -EINVAL (kdf out of bounds), -ENOMEM, -EIO, -ENODEV.
 */
int keyslot_unwrap(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		   const struct keyslot *slot, const void *pass, size_t pass_len,
		   uint8_t vmk[KEYSLOT_VMK_BYTES], uint32_t *detail);

#endif
