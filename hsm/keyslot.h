/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wraps and unwraps the volume master key (VMK) in key slots:
 *
 *   A   = argon2id(passphrase), 64 bytes
 *   S   = secret sealed by the token, auth value A[0..31]
 *   KEK = HKDF-SHA256(S | A[32..63], salt = volume uuid, info = label | slot)
 *   VMK = AES-256-GCM-open(KEK, wrapped_vmk, AAD = all other bytes of the slot | uuid)
 *
 * Thread-safe. @vmk and @kek are secret memory of the caller.
 */
#ifndef HSM_KEYSLOT_H
#define HSM_KEYSLOT_H

#include <stddef.h>
#include <stdint.h>

#include "hsm/api/keyslot.h"

struct token;

enum { KEYSLOT_KEK_BYTES = 32 };

/*
 * What takes its time of making a slot, so that nobody has the VMK meanwhile: fills @slot
 * (whose slot number, kdf and pcrs are given) but for the wrapped key so that @pass and
 * @token open it, while these PCRs are as they are now, and gives the @kek for that. 0,
 * -ENOMEM, -EINVAL, or an error of token_seal().
 */
int keyslot_prepare(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		    const void *pass, size_t pass_len, struct keyslot *slot,
		    uint8_t kek[KEYSLOT_KEK_BYTES]);

/* The rest: wraps @vmk in the prepared @slot. 0, -ENOMEM, -EIO. */
int keyslot_seal(const uint8_t kek[KEYSLOT_KEK_BYTES],
		 const uint8_t uuid[KEYSLOT_UUID_BYTES],
		 const uint8_t vmk[KEYSLOT_VMK_BYTES], struct keyslot *slot);

/*
 * -EKEYREJECTED (wrong passphrase), -EAGAIN and -ESTALE with *@detail as token_unseal()
 * (TPM locked out, PCRs changed), -ENXIO (the slot belongs to another TPM), -EBADMSG
 * (slot damaged), -EINVAL (kdf out of bounds), -ENOMEM, -EIO, -ENODEV.
 */
int keyslot_unwrap(struct token *token, const uint8_t uuid[KEYSLOT_UUID_BYTES],
		   const struct keyslot *slot, const void *pass, size_t pass_len,
		   uint8_t vmk[KEYSLOT_VMK_BYTES], uint32_t *detail);

#endif
