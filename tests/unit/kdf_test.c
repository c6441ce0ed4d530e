// SPDX-License-Identifier: Apache-2.0
/* Published vectors where there are any; elsewhere values from another implementation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <argon2.h>
#include <cmocka.h>

#include "hsm/api/keyslot.h"
#include "hsm/crypto/kdf.h"

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		unsigned v = 0;

		for (int i = 0; i < 2; i++)
			v = v * 16 +
			    (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
		out[n++] = (uint8_t)v;
	}
	return n;
}

static void assert_hex(const uint8_t *have, const char *hex)
{
	uint8_t want[128];
	size_t len = unhex(hex, want);

	assert_memory_equal(have, want, len);
}

/* RFC 5869, A.1: the label takes the place of info, whole or split at any byte. */
static void hkdf_case_1(void **state)
{
	const char *okm =
		"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		"34007208d5b887185865";
	uint8_t ikm[64], salt[64], info[64], prk[32], out[42];
	size_t ikm_len, salt_len;

	(void)state;
	ikm_len = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", ikm);
	salt_len = unhex("000102030405060708090a0b0c", salt);
	unhex("f0f1f2f3f4f5f6f7f8f9", info);
	assert_int_equal(kdf_extract(salt, salt_len, ikm, ikm_len, prk), 0);
	assert_hex(prk,
		   "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	for (size_t cut = 0; cut <= 10; cut++) {
		char label[16] = {0};

		memcpy(label, info, cut);
		assert_int_equal(kdf_expand(prk, label, info + cut, 10 - cut, out, 42),
				 0);
		assert_hex(out, okm);
	}
}

/* RFC 5869, A.3: neither salt nor info. */
static void hkdf_case_3(void **state)
{
	uint8_t ikm[64], prk[32], out[42];
	size_t ikm_len;

	(void)state;
	ikm_len = unhex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", ikm);
	assert_int_equal(kdf_extract(NULL, 0, ikm, ikm_len, prk), 0);
	assert_hex(prk,
		   "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
	assert_int_equal(kdf_expand(prk, "", NULL, 0, out, 42), 0);
	assert_hex(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
			"9d201395faa4b61a96c8");
}

/* RFC 5869, 2.3: at most 255 blocks, and then nothing of the output may be used. */
static void hkdf_too_long(void **state)
{
	static uint8_t out[255 * 32 + 1], zero[sizeof(out)];
	const uint8_t prk[32] = {1};

	(void)state;
	assert_int_equal(kdf_expand(prk, "x", NULL, 0, out, sizeof(out) - 1), 0);
	assert_int_equal(kdf_expand(prk, "x", NULL, 0, out, sizeof(out)), -EIO);
	assert_memory_equal(out, zero, sizeof(out));
}

/* RFC 4231, case 1, its 20-byte key padded as RFC 2104 pads it anyway. */
static void hmac_case_1(void **state)
{
	uint8_t key[32] = {0}, mac[32];

	(void)state;
	memset(key, 0x0b, 20);
	assert_int_equal(kdf_hmac(key, "Hi There", 8, mac), 0);
	assert_hex(mac,
		   "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(kdf_hmac(key, "Hi There", 7, mac), 0);
	assert_int_not_equal(mac[0], 0xb0);
}

/*
 * RFC 9106, 5.3, has a secret and associated data that kdf_passphrase() does not take:
 * it vouches for the library, and the next test for our use of it.
 */
static void argon2id_rfc_vector(void **state)
{
	uint8_t pass[32], salt[16], secret[8], ad[12], tag[32];
	argon2_context ctx = {
		.out = tag,
		.outlen = 32,
		.pwd = pass,
		.pwdlen = 32,
		.salt = salt,
		.saltlen = 16,
		.secret = secret,
		.secretlen = 8,
		.ad = ad,
		.adlen = 12,
		.t_cost = 3,
		.m_cost = 32,
		.lanes = 4,
		.threads = 4,
		.version = ARGON2_VERSION_13,
	};

	(void)state;
	memset(pass, 1, sizeof(pass));
	memset(salt, 2, sizeof(salt));
	memset(secret, 3, sizeof(secret));
	memset(ad, 4, sizeof(ad));
	assert_int_equal(argon2id_ctx(&ctx), ARGON2_OK);
	assert_hex(tag,
		   "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

static const struct keyslot_kdf small = {.time = 3, .memory_kib = 64, .lanes = 2};

/* Against the library's general entry point, so that no parameter is mixed up. */
static void passphrase_matches_parameters(void **state)
{
	struct keyslot_kdf kdf = small;
	uint8_t out[64], want[64], pass[] = "correct horse";
	argon2_context ctx = {
		.out = want,
		.outlen = 64,
		.pwd = pass,
		.pwdlen = 13,
		.salt = kdf.salt,
		.saltlen = 32,
		.t_cost = 3,
		.m_cost = 64,
		.lanes = 2,
		.threads = 1,
		.version = ARGON2_VERSION_13,
	};

	(void)state;
	memset(kdf.salt, 7, sizeof(kdf.salt));
	assert_int_equal(argon2id_ctx(&ctx), ARGON2_OK);
	assert_int_equal(kdf_passphrase(&kdf, pass, 13, out), 0);
	assert_memory_equal(out, want, 64);
}

static void every_parameter_matters(void **state)
{
	struct keyslot_kdf changed[] = {small, small, small, small};
	uint8_t base[64], out[64];

	(void)state;
	changed[0].time++;
	changed[1].memory_kib += 8;
	changed[2].lanes++;
	changed[3].salt[31] ^= 1;
	assert_int_equal(kdf_passphrase(&small, "p\0q", 3, base), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(kdf_passphrase(&changed[i], "p\0q", 3, out), 0);
		assert_memory_not_equal(out, base, 32);
		assert_memory_not_equal(out + 32, base + 32, 32);
	}
	assert_int_equal(kdf_passphrase(&small, "p\0r", 3, out), 0);
	assert_memory_not_equal(out, base, 64);
	assert_int_equal(kdf_passphrase(&small, "", 0, out), 0);
}

static void parameters_out_of_bounds(void **state)
{
	const struct keyslot_kdf bad[] = {
		{.time = 0, .memory_kib = 64, .lanes = 1},
		{.time = KEYSLOT_KDF_MAX_TIME + 1, .memory_kib = 64, .lanes = 1},
		{.time = UINT32_MAX, .memory_kib = 64, .lanes = 1},
		{.time = 1, .memory_kib = KEYSLOT_KDF_MIN_KIB - 1, .lanes = 1},
		{.time = 1, .memory_kib = KEYSLOT_KDF_MAX_KIB + 1, .lanes = 1},
		{.time = 1, .memory_kib = UINT32_MAX, .lanes = 1},
		{.time = 1, .memory_kib = 64, .lanes = 0},
		{.time = 1, .memory_kib = 1024, .lanes = KEYSLOT_KDF_MAX_LANES + 1},
		{.time = 1, .memory_kib = 8 * 16 - 1, .lanes = 16},
		{.time = 1, .memory_kib = 64, .lanes = UINT32_MAX},
		{.time = KEYSLOT_KDF_MAX_TIME,
		 .memory_kib = KEYSLOT_KDF_MAX_WORK / KEYSLOT_KDF_MAX_TIME + 1,
		 .lanes = 1},
	};
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kdf_passphrase(&bad[i], "p", 1, out), -EINVAL);
}

static long fewer_pages; /* than the machine has, or 0 */

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
	return name == _SC_PHYS_PAGES && fewer_pages ? fewer_pages : __real_sysconf(name);
}

/* Another kernel leaves a little less: a slot that was made with half still opens. */
static void machine_shrinks(void **state)
{
	const long pages = 128 * 1024 * 1024 / __real_sysconf(_SC_PAGESIZE);
	struct keyslot_kdf kdf = {.time = 1, .lanes = 1};
	uint8_t out[64];

	(void)state;
	fewer_pages = pages;
	kdf.memory_kib = 64 * 1024;
	assert_int_equal(kdf_passphrase(&kdf, "p", 1, out), 0);
	fewer_pages = pages - pages / 16;
	assert_int_equal(kdf_passphrase(&kdf, "p", 1, out), 0);
	fewer_pages = pages / 2;
	assert_int_equal(kdf_passphrase(&kdf, "p", 1, out), -EINVAL);
	fewer_pages = 0;
}

static void calibrate_keeps_limits(void **state)
{
	struct keyslot_kdf a, b;
	uint8_t out[64];

	(void)state;
	assert_int_equal(kdf_calibrate(1, 256, &a), 0);
	assert_true(a.memory_kib <= 256 && a.time >= 4 && a.lanes >= 1 && a.lanes <= 4);
	assert_int_equal(kdf_passphrase(&a, "p", 1, out), 0);
	assert_int_equal(kdf_calibrate(1, 256, &b), 0);
	assert_memory_not_equal(a.salt, b.salt, sizeof(a.salt));

	assert_int_equal(kdf_calibrate(1, 1024 * 1024, &a), 0);
	assert_int_equal(a.memory_kib, 32 * 1024);
	assert_int_equal(a.time, 4);
	assert_int_equal(kdf_calibrate(1, KEYSLOT_KDF_MIN_KIB - 1, &a), -EINVAL);
	assert_int_equal(kdf_calibrate(1, 0, &a), -EINVAL);
	/* Absurd targets end at the bounds instead of overflowing. */
	assert_int_equal(kdf_calibrate(UINT32_MAX, 64, &a), 0);
	assert_int_equal(a.memory_kib, 64);
	assert_int_equal(a.time, KEYSLOT_KDF_MAX_TIME);
}

static bool instantly; /* as on a machine of another age */

int __real_argon2id_hash_raw(uint32_t time, uint32_t memory, uint32_t lanes,
			     const void *pass, size_t len, const void *salt,
			     size_t salt_len, void *out, size_t out_len);
int __wrap_argon2id_hash_raw(uint32_t time, uint32_t memory, uint32_t lanes,
			     const void *pass, size_t len, const void *salt,
			     size_t salt_len, void *out, size_t out_len);

int __wrap_argon2id_hash_raw(uint32_t time, uint32_t memory, uint32_t lanes,
			     const void *pass, size_t len, const void *salt,
			     size_t salt_len, void *out, size_t out_len)
{
	if (instantly)
		return ARGON2_OK;
	return __real_argon2id_hash_raw(time, memory, lanes, pass, len, salt, salt_len,
					out, out_len);
}

/* What it asks for is never more than it may ask for. */
static void calibrate_on_a_fast_machine(void **state)
{
	struct keyslot_kdf kdf;

	(void)state;
	fewer_pages = (4L << 30) / __real_sysconf(_SC_PAGESIZE);
	instantly = true;
	assert_int_equal(kdf_calibrate(60000, 1024 * 1024, &kdf), 0);
	assert_true((uint64_t)kdf.time * kdf.memory_kib <= KEYSLOT_KDF_MAX_WORK);
	instantly = false;
	fewer_pages = 0;
}

static uint64_t work_of(uint32_t target_ms)
{
	struct keyslot_kdf kdf;

	assert_int_equal(kdf_calibrate(target_ms, 128 * 1024, &kdf), 0);
	return (uint64_t)kdf.time * kdf.memory_kib;
}

/* On a busy machine one measurement may be anything; that all of many are wrong is not.
 */
static void calibrate_aims_at_target(void **state)
{
	bool more = false;

	(void)state;
	if (getenv("VALGRIND")) /* where no time means anything */
		skip();
	for (int i = 0; i < 20 && !more; i++)
		more = work_of(2000) > 2 * work_of(40);
	assert_true(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hkdf_case_1),
		cmocka_unit_test(hkdf_case_3),
		cmocka_unit_test(hkdf_too_long),
		cmocka_unit_test(hmac_case_1),
		cmocka_unit_test(argon2id_rfc_vector),
		cmocka_unit_test(passphrase_matches_parameters),
		cmocka_unit_test(every_parameter_matters),
		cmocka_unit_test(parameters_out_of_bounds),
		cmocka_unit_test(machine_shrinks),
		cmocka_unit_test(calibrate_keeps_limits),
		cmocka_unit_test(calibrate_on_a_fast_machine),
		cmocka_unit_test(calibrate_aims_at_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
