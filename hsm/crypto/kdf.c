// SPDX-License-Identifier: Apache-2.0
#include "hsm/crypto/kdf.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <argon2.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/secmem.h"
#include "hsm/crypto/random.h"

enum {
	/* cryptsetup's choices, which people have found bearable */
	LANES_MAX = 4,
	TIME_MIN = 4,
	MEMORY_MIN_KIB = 32 * 1024,
};

/*
 * KiB. A made-up slot must not have the out-of-memory killer end every mount; but what
 * was half of the memory when a slot was made is more with a kernel that keeps more to
 * itself.
 */
static uint64_t most_of_ram(void)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);

	return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024 / 4 * 3;
}

static int in_bounds(const struct keyslot_kdf *kdf)
{
	return kdf->time >= 1 && kdf->time <= KEYSLOT_KDF_MAX_TIME && kdf->lanes >= 1 &&
	       kdf->lanes <= KEYSLOT_KDF_MAX_LANES &&
	       kdf->memory_kib >= KEYSLOT_KDF_MIN_KIB &&
	       kdf->memory_kib <= KEYSLOT_KDF_MAX_KIB &&
	       kdf->memory_kib <= most_of_ram() &&
	       (uint64_t)kdf->time * kdf->memory_kib <= KEYSLOT_KDF_MAX_WORK &&
	       kdf->memory_kib >= 8 * kdf->lanes; /* RFC 9106, 3.1 */
}

int kdf_passphrase(const struct keyslot_kdf *kdf, const void *pass, size_t len,
		   uint8_t out[KDF_PASSPHRASE_BYTES])
{
	int ret;

	if (!in_bounds(kdf) || len > UINT32_MAX)
		return -EINVAL;
	ret = argon2id_hash_raw(kdf->time, kdf->memory_kib, kdf->lanes, pass, len,
				kdf->salt, sizeof(kdf->salt), out, KDF_PASSPHRASE_BYTES);
	if (ret == ARGON2_OK)
		return 0;
	secmem_wipe(out, KDF_PASSPHRASE_BYTES);
	/* Within bounds only memory or its threads can fail. */
	return -ENOMEM;
}

/* Microseconds that @kdf takes here, at least 1, or -errno. */
static int64_t measure(const struct keyslot_kdf *kdf)
{
	uint8_t out[KDF_PASSPHRASE_BYTES];
	struct timespec from, to;
	int64_t us;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &from);
	ret = kdf_passphrase(kdf, "calibrate", 9, out);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (ret < 0)
		return ret;
	us = (int64_t)(to.tv_sec - from.tv_sec) * 1000000 +
	     (to.tv_nsec - from.tv_nsec) / 1000;
	return us > 0 ? us : 1;
}

/* At most half of the machine's memory, as cryptsetup does. */
static uint32_t memory_limit(uint32_t max_kib)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t half_kib = KEYSLOT_KDF_MAX_KIB;

	if (pages > 0 && page > 0)
		half_kib = (uint64_t)pages * (uint64_t)page / 2 / 1024;
	if (max_kib > KEYSLOT_KDF_MAX_KIB)
		max_kib = KEYSLOT_KDF_MAX_KIB;
	return half_kib < max_kib ? (uint32_t)half_kib : max_kib;
}

static uint32_t lanes_here(void)
{
	cpu_set_t cpus;
	int n = LANES_MAX;

	/* Fails only where there are more CPUs than the mask has bits. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = CPU_COUNT(&cpus);
	return n < 1 ? 1 : n > LANES_MAX ? LANES_MAX : (uint32_t)n;
}

static uint32_t clamp(double value, uint32_t min, uint32_t max)
{
	return value < min ? min : value > max ? max : (uint32_t)value;
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Costs that take @ms at the speed @kdf just had: TIME_MIN passes, memory, more passes.
 */
static void spend(struct keyslot_kdf *kdf, unsigned ms, int64_t measured_us,
		  uint32_t max_kib)
{
	double work =
		(double)kdf->time * kdf->memory_kib * ms * 1000 / (double)measured_us;
	uint32_t min_kib = max_kib < MEMORY_MIN_KIB ? max_kib : MEMORY_MIN_KIB;

	kdf->memory_kib = clamp(work / TIME_MIN, min_kib, max_kib);
	kdf->time = clamp(
		work / kdf->memory_kib, TIME_MIN,
		lesser(KEYSLOT_KDF_MAX_TIME, KEYSLOT_KDF_MAX_WORK / kdf->memory_kib));
}

int kdf_calibrate(unsigned ms, uint32_t max_kib, struct keyslot_kdf *kdf)
{
	int rounds = 2; /* a small probe, then once more: large memory is slower */

	max_kib = memory_limit(max_kib);
	kdf->time = 1;
	kdf->lanes = lanes_here();
	kdf->memory_kib = max_kib < MEMORY_MIN_KIB ? max_kib : MEMORY_MIN_KIB;
	if (random_bytes(kdf->salt, sizeof(kdf->salt)) < 0)
		return -EIO;
	while (rounds > 0) {
		int64_t us = measure(kdf);

		if (us == -ENOMEM && max_kib / 2 >= MEMORY_MIN_KIB) {
			max_kib /= 2;
			kdf->memory_kib = clamp(kdf->memory_kib, 0, max_kib);
			continue;
		}
		if (us < 0)
			return (int)us;
		spend(kdf, ms, us, max_kib);
		rounds--;
	}
	return 0;
}

static int hkdf(OSSL_PARAM *params, void *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	if (ok)
		return 0;
	secmem_wipe(out, out_len);
	return -EIO;
}

/* OpenSSL takes parameters without const and only reads them. */
static OSSL_PARAM octets(const char *name, const void *data, size_t len)
{
	return OSSL_PARAM_construct_octet_string(name, (void *)data, len);
}

static OSSL_PARAM sha256(void)
{
	return OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256",
						0);
}

int kdf_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
		uint8_t prk[32])
{
	int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		sha256(),
		octets(OSSL_KDF_PARAM_KEY, ikm, ikm_len),
		/* OpenSSL 3.0 fails without a salt but takes an empty one. */
		octets(OSSL_KDF_PARAM_SALT, salt ? salt : "", salt_len),
		OSSL_PARAM_construct_end(),
	};

	return hkdf(params, prk, 32);
}

int kdf_expand(const uint8_t prk[32], const char *label, const void *ctx, size_t ctx_len,
	       void *out, size_t out_len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		sha256(),
		octets(OSSL_KDF_PARAM_KEY, prk, 32),
		octets(OSSL_KDF_PARAM_INFO, label, strlen(label)),
		octets(OSSL_KDF_PARAM_INFO, ctx, ctx_len), /* appended to the label */
		OSSL_PARAM_construct_end(),
	};

	return hkdf(params, out, out_len);
}

int kdf_hmac(const uint8_t key[32], const void *data, size_t len, uint8_t mac[32])
{
	size_t mac_len = 0;

	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, 32, data, len, mac, 32,
		       &mac_len) ||
	    mac_len != 32) {
		secmem_wipe(mac, 32);
		return -EIO;
	}
	return 0;
}
