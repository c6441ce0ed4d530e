/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel's multi-buffer library. Its manager serves as a table of functions only, chosen
 * for this CPU, so that all threads can share one.
 */
#ifdef HAVE_IPSEC_MB

#include "hsm/crypto/aead_engines.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include <intel-ipsec-mb.h>

#include "hsm/api/secmem.h"

static pthread_once_t manager_once = PTHREAD_ONCE_INIT;
static IMB_MGR *manager; /* for the life of the process */
static bool usable;

static void manager_init(void)
{
	IMB_ARCH arch = IMB_ARCH_NONE;

	manager = alloc_mb_mgr(0);
	if (!manager)
		return;
	init_mb_mgr_auto(manager, &arch);
	/* The emulation for CPUs without AES instructions looks keys up in tables. */
	usable = imb_get_errno(manager) == 0 && arch > IMB_ARCH_NOAESNI;
}

static int ipsecmb_key_init(void *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	pthread_once(&manager_once, manager_init);
	if (!manager)
		return -ENOMEM;
	if (!usable)
		return -ENOTSUP;
	IMB_AES256_GCM_PRE(manager, raw, key);
	return 0;
}

static void ipsecmb_key_fini(void *key)
{
	secmem_wipe(key, sizeof(struct gcm_key_data));
}

static int ipsecmb_seal(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
			size_t aad_len, const void *in, size_t len, void *out,
			uint8_t tag[AEAD_TAG_BYTES])
{
	struct gcm_context_data ctx;

	IMB_AES256_GCM_ENC(manager, key, &ctx, out, in, len, nonce, aad, aad_len, tag,
			   AEAD_TAG_BYTES);
	secmem_wipe(&ctx, sizeof(ctx));
	return 0;
}

static int ipsecmb_open(void *key, const uint8_t nonce[AEAD_NONCE_BYTES], const void *aad,
			size_t aad_len, const void *in, size_t len, void *out,
			const uint8_t tag[AEAD_TAG_BYTES])
{
	struct gcm_context_data ctx;
	uint8_t computed[AEAD_TAG_BYTES];
	int rc = 0;

	IMB_AES256_GCM_DEC(manager, key, &ctx, out, in, len, nonce, aad, aad_len,
			   computed, AEAD_TAG_BYTES);
	secmem_wipe(&ctx, sizeof(ctx));
	if (secmem_compare(computed, tag, AEAD_TAG_BYTES) != 0) {
		secmem_wipe(out, len);
		rc = -EBADMSG;
	}
	/* The right tag of a forgery must not stay behind. */
	secmem_wipe(computed, sizeof(computed));
	return rc;
}

const struct aead_engine aead_ipsecmb = {
	.name = "ipsec-mb",
	.key_size = sizeof(struct gcm_key_data),
	.key_init = ipsecmb_key_init,
	.key_fini = ipsecmb_key_fini,
	.seal = ipsecmb_seal,
	.open = ipsecmb_open,
};

#endif
