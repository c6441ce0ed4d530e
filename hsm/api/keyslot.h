/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key slot as it travels between the volume header (JSON, fs/volume/header.h) and the
 * HSM. Nothing in it is secret. The HSM authenticates every byte of it but @wrapped_vmk
 * itself as associated data of @wrapped_vmk; @pcr_values only if there are @pcrs.
 */
#ifndef HSM_API_KEYSLOT_H
#define HSM_API_KEYSLOT_H

#include <stdint.h>

enum {
	KEYSLOT_COUNT = 16,
	KEYSLOT_UUID_BYTES = 16,
	KEYSLOT_SALT_BYTES = 32,
	KEYSLOT_TPM_NAME_BYTES = 34, /* TPM2B name of the SRK: algorithm(2) | SHA-256 */
	KEYSLOT_TPM_BLOB_MAX = 512,
	KEYSLOT_VMK_BYTES = 32,
	KEYSLOT_WRAPPED_BYTES = 12 + 32 + 16, /* nonce | AES-256-GCM(VMK) | tag */
	KEYSLOT_PCRS = 24,
	KEYSLOT_PCR_BYTES = 32, /* SHA-256 */

	/* argon2id bounds: enough for cryptsetup's maximum, small enough to refuse a bomb
	 */
	KEYSLOT_KDF_MIN_KIB = 32,
	KEYSLOT_KDF_MAX_KIB = 4 * 1024 * 1024,
	KEYSLOT_KDF_MAX_TIME = 1000,
	KEYSLOT_KDF_MAX_WORK = 256 * 1024 * 1024, /* passes times KiB: minutes */
	KEYSLOT_KDF_MAX_LANES = 16,
};

/* argon2id parameters, RFC 9106 names: t, m, p. */
struct keyslot_kdf {
	uint32_t time;
	uint32_t memory_kib;
	uint32_t lanes;
	uint8_t salt[KEYSLOT_SALT_BYTES];
};

struct keyslot {
	uint32_t slot; /* 0..15 */
	struct keyslot_kdf kdf;
	uint8_t tpm_name[KEYSLOT_TPM_NAME_BYTES]; /* which TPM's SRK can open it */
	uint16_t tpm_public_len;
	uint16_t tpm_private_len;
	/* Zero beyond their lengths: the HSM authenticates the whole arrays. */
	uint8_t tpm_public[KEYSLOT_TPM_BLOB_MAX];  /* marshalled TPM2B_PUBLIC */
	uint8_t tpm_private[KEYSLOT_TPM_BLOB_MAX]; /* marshalled TPM2B_PRIVATE */
	uint8_t wrapped_vmk[KEYSLOT_WRAPPED_BYTES];
	uint16_t reserved;
	/* The PCRs that must be as they were, a bit each (PCR 0: bit 0), or 0. */
	uint32_t pcrs;
	uint8_t pcr_values[KEYSLOT_PCRS][KEYSLOT_PCR_BYTES]; /* zeros for others */
};

#endif
