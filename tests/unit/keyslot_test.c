// SPDX-License-Identifier: Apache-2.0
/* Key slots against the embedded emulator: both factors, and every byte of the slot. */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hsm/keyslot.h"
#include "hsm/token/token.h"

#define PASS "a passphrase"

static const uint8_t uuid[KEYSLOT_UUID_BYTES] = "0123456789abcde";
static const uint8_t vmk[KEYSLOT_VMK_BYTES] = "the key of the volume; no other";

struct fixture {
	char dir[PATH_MAX];
	struct token *token;
	struct keyslot slot;
};

static struct token *open_token(const char *dir)
{
	struct token *token;
	char why[256];

	assert_int_equal(token_open("tcti=libtpms", dir, &token, why, sizeof(why)), 0);
	return token;
}

static int wrap_key(struct token *token, const uint8_t *of, const void *pass, size_t len,
		    const uint8_t *key, struct keyslot *slot)
{
	uint8_t kek[KEYSLOT_KEK_BYTES];
	int ret = keyslot_prepare(token, of, pass, len, slot, kek);

	return ret ? ret : keyslot_seal(kek, of, key, slot);
}

/* A slot 3 with costs that take no time, wrapped. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *base = getenv("TMPDIR");

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "%s/keyslot-test-XXXXXX",
		 base ? base : P_tmpdir);
	if (!mkdtemp(f->dir))
		return -1;
	f->token = open_token(f->dir);
	f->slot.slot = 3;
	f->slot.kdf = (struct keyslot_kdf){.time = 1, .memory_kib = 32, .lanes = 1};
	memset(f->slot.kdf.salt, 5, sizeof(f->slot.kdf.salt));
	*state = f;
	return wrap_key(f->token, uuid, PASS, strlen(PASS), vmk, &f->slot);
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	token_close(f->token);
	nftw(f->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static int unwrap(struct fixture *f, const struct keyslot *slot, const char *pass,
		  uint8_t out[KEYSLOT_VMK_BYTES])
{
	uint32_t wait_s = 99;
	int ret = keyslot_unwrap(f->token, uuid, slot, pass, strlen(pass), out, &wait_s);

	assert_int_equal(wait_s, 0);
	return ret;
}

static void assert_opens(struct fixture *f)
{
	uint8_t out[KEYSLOT_VMK_BYTES] = {0};

	assert_int_equal(unwrap(f, &f->slot, PASS, out), 0);
	assert_memory_equal(out, vmk, sizeof(out));
}

static int refused(struct fixture *f, const struct keyslot *slot, const char *pass)
{
	static const uint8_t zero[KEYSLOT_VMK_BYTES];
	uint8_t out[KEYSLOT_VMK_BYTES] = {0};
	int ret = unwrap(f, slot, pass, out);

	assert_true(ret < 0);
	assert_memory_equal(out, zero, sizeof(out));
	return ret;
}

static void opens_after_restart(void **state)
{
	struct fixture *f = *state;

	assert_opens(f);
	token_close(f->token);
	f->token = open_token(f->dir);
	assert_opens(f);
}

static void wrong_passphrase(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(refused(f, &f->slot, "a passphrasE"), -EKEYREJECTED);
	assert_int_equal(refused(f, &f->slot, "a passphrase "), -EKEYREJECTED);
	assert_int_equal(refused(f, &f->slot, ""), -EKEYREJECTED);
	assert_opens(f);
}

static void slots_share_nothing(void **state)
{
	struct fixture *f = *state;
	struct keyslot other = f->slot;

	assert_int_equal(wrap_key(f->token, uuid, PASS, strlen(PASS), vmk, &other), 0);
	assert_memory_not_equal(other.tpm_private, f->slot.tpm_private, 64);
	assert_memory_not_equal(other.wrapped_vmk, f->slot.wrapped_vmk, 12);
	assert_memory_not_equal(other.wrapped_vmk + 12, f->slot.wrapped_vmk + 12, 32);
	/* The TPM part of one with the wrapped key of the other. */
	memcpy(other.wrapped_vmk, f->slot.wrapped_vmk, sizeof(other.wrapped_vmk));
	assert_int_equal(refused(f, &other, PASS), -EBADMSG);
}

static void another_tpm(void **state)
{
	struct fixture *f = *state;
	struct keyslot forged = f->slot;
	char other[PATH_MAX + 8];

	token_close(f->token);
	snprintf(other, sizeof(other), "%s/other", f->dir);
	f->token = open_token(other);
	assert_int_equal(refused(f, &f->slot, PASS), -ENXIO);
	/* Renamed to fit, it still does not open. */
	memcpy(forged.tpm_name, token_name(f->token), sizeof(forged.tpm_name));
	assert_int_equal(refused(f, &forged, PASS), -EBADMSG);
}

static void another_volume(void **state)
{
	struct fixture *f = *state;
	uint8_t other[KEYSLOT_UUID_BYTES], out[KEYSLOT_VMK_BYTES];
	uint32_t wait_s;

	memcpy(other, uuid, sizeof(other));
	other[15] ^= 1;
	assert_int_equal(keyslot_unwrap(f->token, other, &f->slot, PASS, strlen(PASS),
					out, &wait_s),
			 -EBADMSG);
}

/* No byte of a slot may change without notice, nor open anything. */
static void flipped_bytes(void **state)
{
	struct fixture *f = *state;
	const size_t kdf = offsetof(struct keyslot, kdf);
	const size_t salt = offsetof(struct keyslot, kdf.salt);
	const size_t name = offsetof(struct keyslot, tpm_name);
	const size_t lens = offsetof(struct keyslot, tpm_public_len);
	const size_t end = offsetof(struct keyslot, wrapped_vmk) + KEYSLOT_WRAPPED_BYTES;

	for (size_t i = 0; i < end; i += i < lens ? 1 : 5) {
		struct keyslot bad = f->slot;
		int ret;

		/* Each wrong passphrase costs one of the TPM's 32 tries. */
		if (i >= kdf && i < name && (i - salt) % 16 != 0)
			continue;
		((uint8_t *)&bad)[i] ^= 0x20;
		ret = refused(f, &bad, PASS);
		if (i < kdf)
			assert_int_equal(ret, -EBADMSG);
		else if (i >= salt && i < name)
			assert_int_equal(ret, -EKEYREJECTED);
		else if (i >= name && i < lens)
			assert_int_equal(ret, -ENXIO);
		else if (i >= lens)
			assert_int_equal(ret, -EBADMSG);
	}
	assert_opens(f);
}

static void costs_out_of_bounds(void **state)
{
	struct fixture *f = *state;
	struct keyslot bomb = f->slot;

	bomb.kdf.memory_kib = UINT32_MAX;
	assert_int_equal(refused(f, &bomb, PASS), -EINVAL);
	assert_int_equal(wrap_key(f->token, uuid, PASS, 1, vmk, &bomb), -EINVAL);
	bomb = f->slot;
	bomb.kdf.time = UINT32_MAX;
	assert_int_equal(refused(f, &bomb, PASS), -EINVAL);
	bomb = f->slot;
	bomb.slot = KEYSLOT_COUNT;
	assert_int_equal(wrap_key(f->token, uuid, PASS, 1, vmk, &bomb), -EINVAL);
}

static void moved_to_another_number(void **state)
{
	struct fixture *f = *state;
	struct keyslot moved = f->slot;

	moved.slot = 4;
	assert_int_equal(refused(f, &moved, PASS), -EBADMSG);
}

/* Of PCRs, too, no byte may change: neither which nor, beside what the TPM looks at, how.
 */
static void bound_to_pcrs(void **state)
{
	struct fixture *f = *state;
	struct keyslot bad;

	f->slot.pcrs = 1 << 7 | 1 << 11;
	assert_int_equal(wrap_key(f->token, uuid, PASS, strlen(PASS), vmk, &f->slot), 0);
	assert_opens(f);
	assert_int_equal(refused(f, &f->slot, "guess"), -EKEYREJECTED);
	bad = f->slot;
	bad.pcr_values[8][0] = 1;
	assert_int_equal(refused(f, &bad, PASS), -EBADMSG);
	bad = f->slot;
	bad.pcrs = 0;
	assert_int_equal(refused(f, &bad, PASS), -EBADMSG);
	bad.pcrs = 1 << 24;
	assert_int_equal(refused(f, &bad, PASS), -EBADMSG);
	assert_int_equal(wrap_key(f->token, uuid, PASS, strlen(PASS), vmk, &bad),
			 -EINVAL);
	assert_opens(f);
}

static void locked_out(void **state)
{
	struct fixture *f = *state;
	uint8_t out[KEYSLOT_VMK_BYTES];
	uint32_t wait_s = 0;

	for (int i = 0; i < 32; i++)
		assert_int_equal(refused(f, &f->slot, "guess"), -EKEYREJECTED);
	assert_int_equal(keyslot_unwrap(f->token, uuid, &f->slot, PASS, strlen(PASS), out,
					&wait_s),
			 -EAGAIN);
	assert_in_range(wait_s, 1, 600);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_after_restart), TEST(wrong_passphrase),
		TEST(slots_share_nothing), TEST(another_tpm),
		TEST(another_volume),	   TEST(flipped_bytes),
		TEST(costs_out_of_bounds), TEST(moved_to_another_number),
		TEST(locked_out),	   TEST(bound_to_pcrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
