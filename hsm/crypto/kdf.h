/* SPDX-License-Identifier: Apache-2.0 */
/* Key derivation: argon2id (RFC 9106) for passphrases, HKDF-SHA256 (RFC 5869) elsewhere.
 */
#ifndef HSM_CRYPTO_KDF_H
#define HSM_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

struct keyslot_kdf; /* hsm/api/keyslot.h */

/*
 * Every label that goes into HKDF-Expand, in one place so that no two meet.
 * "file" is followed by the 16-byte file id.
 */
#define KDF_LABEL_KEK	 "hsmfs kek v1"
#define KDF_LABEL_NAME	 "hsmfs name key v1"
#define KDF_LABEL_BLOB	 "hsmfs blob key v1"
#define KDF_LABEL_HEADER "hsmfs header mac key v1"
#define KDF_LABEL_FILE	 "hsmfs file key v1"
#define KDF_LABEL_TERMS	 "hsmfs terms v1" /* not on disk */

enum { KDF_PASSPHRASE_BYTES = 64 };

/*
 * argon2id of @pass into 64 bytes of secret memory: [0..31] is the TPM object's auth
 * value, [32..63] goes into the KEK. 0, -ENOMEM, or -EINVAL for parameters outside
 * keyslot.h's bounds.
 */
int kdf_passphrase(const struct keyslot_kdf *kdf, const void *pass, size_t len,
		   uint8_t out[KDF_PASSPHRASE_BYTES]);

/*
 * Fills @kdf with a fresh salt and costs that take about @ms milliseconds on this
 * machine (memory at most @max_kib KiB). 0 or -errno.
 */
int kdf_calibrate(unsigned ms, uint32_t max_kib, struct keyslot_kdf *kdf);

/* HKDF-Extract with @salt over @ikm. 0 or -EIO. */
int kdf_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
		uint8_t prk[32]);

/* HKDF-Expand of @prk with info = @label (without its NUL) | @ctx. 0 or -EIO. */
int kdf_expand(const uint8_t prk[32], const char *label, const void *ctx, size_t ctx_len,
	       void *out, size_t out_len);

/* HMAC-SHA256 (RFC 2104). 0 or -EIO. */
int kdf_hmac(const uint8_t key[32], const void *data, size_t len, uint8_t mac[32]);

#endif
