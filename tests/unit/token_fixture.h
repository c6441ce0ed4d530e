/* SPDX-License-Identifier: Apache-2.0 */
/* What the token's tests share: a scratch directory, and what must hold of any token. */
#ifndef TESTS_UNIT_TOKEN_FIXTURE_H
#define TESTS_UNIT_TOKEN_FIXTURE_H

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
#include <unistd.h>

#include <cmocka.h>

#include "hsm/token/tpm.h"

#define LIBTPMS "tcti=libtpms"

static const uint8_t auth[32] = "thirty-two bytes of auth value!";
static const uint8_t wrong[32] = "thirty-two bytes of auth value?";
static const uint8_t secret[32] = "the secret that the token seals";

struct scratch {
	char dir[PATH_MAX / 2];
	char permall[PATH_MAX];
};

static inline int setup(void **state)
{
	struct scratch *s = calloc(1, sizeof(*s));
	const char *base = getenv("TMPDIR");

	if (!s)
		return -1;
	snprintf(s->dir, sizeof(s->dir), "%s/token-test-XXXXXX", base ? base : P_tmpdir);
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->permall, sizeof(s->permall), "%s/tpm/permall", s->dir);
	*state = s;
	return 0;
}

static inline int remove_entry(const char *path, const struct stat *st, int type,
			       struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int teardown(void **state)
{
	struct scratch *s = *state;

	nftw(s->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

static inline int try_open(const char *conf, const char *dir, struct token **token)
{
	char why[256] = "";
	int ret = token_open(conf, dir, token, why, sizeof(why));

	if (ret < 0)
		assert_true(strlen(why) > 10);
	return ret;
}

static inline struct token *open_token(const char *conf, const char *dir)
{
	struct token *token = NULL;

	assert_int_equal(try_open(conf, dir, &token), 0);
	return token;
}

static inline void assert_unseals(struct token *token, const uint8_t *value,
				  const struct token_blob *blob)
{
	uint8_t out[32] = {0};
	uint32_t wait_s = 99;

	assert_int_equal(token_unseal(token, value, blob, out, &wait_s), 0);
	assert_memory_equal(out, secret, 32);
	assert_int_equal(wait_s, 0);
}

static inline int unseal_result(struct token *token, const uint8_t *value,
				const struct token_blob *blob)
{
	static const uint8_t untouched[32];
	uint8_t out[32] = {0};
	uint32_t wait_s;
	int ret = token_unseal(token, value, blob, out, &wait_s);

	assert_true(ret < 0);
	assert_memory_equal(out, untouched, 32);
	return ret;
}

static inline void seal(struct token *token, struct token_blob *blob)
{
	assert_int_equal(token_seal(token, auth, secret, 0, blob), 0);
	assert_true(blob->public_len > 0 && blob->public_len <= KEYSLOT_TPM_BLOB_MAX);
	assert_true(blob->private_len > 0 && blob->private_len <= KEYSLOT_TPM_BLOB_MAX);
}

static inline void check_reopen(const char *conf, const char *dir)
{
	struct token *token = open_token(conf, dir);
	uint8_t name[KEYSLOT_TPM_NAME_BYTES];
	struct token_blob blob, other;

	memcpy(name, token_name(token), sizeof(name));
	assert_memory_equal(name, "\0\x0b", 2); /* a Name made with SHA-256 */
	seal(token, &blob);
	seal(token, &other);
	assert_memory_not_equal(blob.private, other.private, blob.private_len);
	assert_unseals(token, auth, &blob);
	token_close(token);

	token = open_token(conf, dir);
	assert_memory_equal(name, token_name(token), sizeof(name));
	assert_unseals(token, auth, &blob);
	assert_unseals(token, auth, &other);
	token_close(token);
}

static inline void check_wrong_auth(const char *conf, const char *dir)
{
	static const uint8_t zero[32], half[32] = "ends in zeros";
	struct token *token = open_token(conf, dir);
	struct token_blob blob;

	seal(token, &blob);
	assert_int_equal(unseal_result(token, wrong, &blob), -EKEYREJECTED);
	assert_int_equal(unseal_result(token, zero, &blob), -EKEYREJECTED);
	assert_unseals(token, auth, &blob);

	/* TPMs strip trailing zeros of auth values; one derived value in 256 has some. */
	assert_int_equal(token_seal(token, half, secret, 0, &blob), 0);
	assert_unseals(token, half, &blob);
	assert_int_equal(unseal_result(token, zero, &blob), -EKEYREJECTED);
	assert_int_equal(token_seal(token, zero, secret, 0, &blob), 0);
	assert_unseals(token, zero, &blob);
	token_close(token);
}

/* What firmware and kernel do while they start. */
static inline void extend_pcr(struct token *token, ESYS_TR pcr)
{
	const TPML_DIGEST_VALUES values = {
		.count = 1,
		.digests[0] = {.hashAlg = TPM2_ALG_SHA256, .digest.sha256 = "measured"}};

	assert_int_equal(Esys_PCR_Extend(token->esys, pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
					 ESYS_TR_NONE, &values),
			 0);
}

static inline uint32_t changed_pcrs(struct token *token, const struct token_blob *blob)
{
	uint8_t out[32] = {0};
	uint32_t detail = 0;

	assert_int_equal(token_unseal(token, auth, blob, out, &detail), -ESTALE);
	assert_memory_not_equal(out, secret, 32);
	return detail;
}

static inline void check_pcrs(const char *conf, const char *dir)
{
	struct token *token = open_token(conf, dir);
	struct token_blob blob, all, none, bad;

	extend_pcr(token, ESYS_TR_PCR8);
	assert_int_equal(token_seal(token, auth, secret, 1 << 8 | 1 << 11, &blob), 0);
	/* (more than one answer of the TPM has room for) */
	assert_int_equal(token_seal(token, auth, secret, 0xffffff, &all), 0);
	assert_int_equal(token_seal(token, auth, secret, 0, &none), 0);
	assert_unseals(token, auth, &blob);
	assert_unseals(token, auth, &all);
	assert_int_equal(unseal_result(token, wrong, &blob), -EKEYREJECTED);

	/* Whoever changes what is written beside the object gets nothing. */
	bad = blob;
	bad.pcrs.mask = 0;
	assert_int_equal(unseal_result(token, auth, &bad), -EBADMSG);
	bad.pcrs.mask = 1 << 8;
	assert_int_equal(unseal_result(token, auth, &bad), -EBADMSG);
	bad = none;
	bad.pcrs.mask = 1 << 11;
	assert_int_equal(unseal_result(token, auth, &bad), -EBADMSG);

	extend_pcr(token, ESYS_TR_PCR7);
	assert_unseals(token, auth, &blob);
	assert_int_equal(changed_pcrs(token, &all), 1 << 7);
	extend_pcr(token, ESYS_TR_PCR11);
	assert_int_equal(changed_pcrs(token, &blob), 1 << 11);
	assert_int_equal(changed_pcrs(token, &all), 1 << 7 | 1 << 11);
	/* a refusal for PCRs costs no try */
	for (int i = 0; i < 40; i++)
		assert_int_equal(changed_pcrs(token, &blob), 1 << 11);
	bad = blob;
	memcpy(bad.pcrs.values, all.pcrs.values, sizeof(bad.pcrs.values));
	assert_int_equal(unseal_result(token, auth, &bad), -ESTALE);
	assert_unseals(token, auth, &none);
	token_close(token);
}

static inline void check_lockout(const char *conf, const char *dir)
{
	struct token *token = open_token(conf, dir);
	struct token_blob blob;
	uint8_t out[32];
	uint32_t wait_s = 0;

	/* under a policy, too, wrong passphrases count */
	assert_int_equal(token_seal(token, auth, secret, 1 << 7, &blob), 0);
	for (int i = 0; i < 32; i++)
		assert_int_equal(unseal_result(token, wrong, &blob), -EKEYREJECTED);
	assert_int_equal(token_unseal(token, auth, &blob, out, &wait_s), -EAGAIN);
	assert_in_range(wait_s, 1, 600);
	token_close(token);

	/* Restarting the HSM must not buy an attacker more tries. */
	wait_s = 0;
	token = open_token(conf, dir);
	assert_int_equal(token_unseal(token, auth, &blob, out, &wait_s), -EAGAIN);
	assert_in_range(wait_s, 1, 600);
	token_close(token);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
