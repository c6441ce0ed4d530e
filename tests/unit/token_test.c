// SPDX-License-Identifier: Apache-2.0
/* The token over the embedded emulator: sealing, wrong auth values, hostile blobs. */
#include <pthread.h>
#include <sys/wait.h>

#include "tests/unit/token_fixture.h"

static void embedded_reopen(void **state)
{
	struct scratch *s = *state;

	check_reopen(LIBTPMS, s->dir);
}

static void embedded_wrong_auth(void **state)
{
	struct scratch *s = *state;

	check_wrong_auth(LIBTPMS, s->dir);
}

static void embedded_lockout(void **state)
{
	struct scratch *s = *state;

	check_lockout(LIBTPMS, s->dir);
}

/*
 * Somebody on the bus: changes the end of each answer to one command, when told to, or
 * all of it.
 */
static uint32_t forged_command;
static bool all_forged;
static unsigned nr_forged;

uint32_t __real_TPMLIB_Process(unsigned char **answer, uint32_t *len, uint32_t *room,
			       unsigned char *command, uint32_t command_len);
uint32_t __wrap_TPMLIB_Process(unsigned char **answer, uint32_t *len, uint32_t *room,
			       unsigned char *command, uint32_t command_len);
uint32_t __wrap_TPMLIB_Process(unsigned char **answer, uint32_t *len, uint32_t *room,
			       unsigned char *command, uint32_t command_len)
{
	uint32_t code = 0;
	uint32_t ret;

	if (command_len >= 10)
		code = (uint32_t)command[6] << 24 | (uint32_t)command[7] << 16 |
		       (uint32_t)command[8] << 8 | command[9];
	ret = __real_TPMLIB_Process(answer, len, room, command, command_len);
	if (!ret && code && code == forged_command && *len > 10) {
		(*answer)[*len - 1] ^= 1;
		if (all_forged)
			memset(*answer, 0xff, *len);
		nr_forged++;
	}
	return ret;
}

/* Or a slot could be bound to what only the forger's system has in them. */
static void forged_pcrs_are_not_taken(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob;

	assert_int_equal(token_seal(token, auth, secret, 1 << 7, &blob), 0);
	forged_command = TPM2_CC_PCR_Read;
	assert_int_equal(token_seal(token, auth, secret, 1 << 7, &blob), -EIO);
	assert_int_not_equal(nr_forged, 0);
	forged_command = 0;
	assert_int_equal(token_seal(token, auth, secret, 1 << 7, &blob), 0);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

/* Each command's answer in turn: what it broke is in order for the next operation. */
static void forged_answers_cost_one_operation(void **state)
{
	static const uint32_t commands[] = {TPM2_CC_StartAuthSession, TPM2_CC_Load,
					    TPM2_CC_Unseal, TPM2_CC_GetRandom,
					    TPM2_CC_Create};
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob, other;
	uint8_t out[32];
	uint32_t detail;

	seal(token, &blob);
	/* (more often than the TPM has room for sessions and objects) */
	for (int i = 0; i < 5; i++) {
		for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
			nr_forged = 0;
			all_forged = i % 2 != 0;
			forged_command = commands[c];
			token_unseal(token, auth, &blob, out, &detail);
			token_seal(token, auth, secret, 1 << 7, &other);
			forged_command = 0;
			assert_int_not_equal(nr_forged, 0);
			assert_unseals(token, auth, &blob);
			seal(token, &other);
			assert_unseals(token, auth, &other);
		}
	}
	token_close(token);
}

static void embedded_pcrs(void **state)
{
	struct scratch *s = *state;

	check_pcrs(LIBTPMS, s->dir);
}

/* Far more loads than the TPM has slots for: also shows that each path flushes. */
static void flipped_bits(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob, broken;

	seal(token, &blob);
	for (unsigned i = 0; i < blob.public_len; i++) {
		broken = blob;
		broken.public[i] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	}
	for (unsigned i = 0; i < blob.private_len; i++) {
		broken = blob;
		broken.private[i] ^= (uint8_t)(0x80 >> i % 8);
		assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	}
	/* Damage is no guess at the passphrase: not one try may have been counted. */
	assert_unseals(token, auth, &blob);
	token_close(token);
}

static void bad_lengths(void **state)
{
	static const uint16_t lengths[] = {0, 1, 2, 511, 512, 513, 4096, UINT16_MAX};
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob, broken;

	seal(token, &blob);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		broken = blob;
		broken.public_len = lengths[i];
		assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
		broken = blob;
		broken.private_len = lengths[i];
		assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	}
	broken = blob;
	broken.public_len--;
	assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	broken = blob;
	broken.private_len++;
	assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	memset(&broken, 0xff, sizeof(broken));
	assert_int_equal(unseal_result(token, auth, &broken), -EBADMSG);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

static void blob_of_another_tpm(void **state)
{
	struct scratch *s = *state;
	char other[PATH_MAX];
	struct token *token = open_token(LIBTPMS, s->dir);
	uint8_t name[KEYSLOT_TPM_NAME_BYTES];
	struct token_blob blob;

	memcpy(name, token_name(token), sizeof(name));
	seal(token, &blob);
	token_close(token);

	snprintf(other, sizeof(other), "%s/other", s->dir);
	token = open_token(LIBTPMS, other);
	assert_memory_not_equal(name, token_name(token), sizeof(name));
	assert_int_equal(unseal_result(token, auth, &blob), -EBADMSG);
	token_close(token);

	token = open_token(LIBTPMS, s->dir);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

/* A forked copy would draw the same random numbers as its parent. */
static void forked_child_is_refused(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob;
	int status;
	pid_t pid;

	seal(token, &blob);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t out[32];
		uint32_t wait_s;

		_exit(token_seal(token, auth, secret, 0, &blob) == -ENODEV &&
				      token_unseal(token, auth, &blob, out, &wait_s) ==
					      -ENODEV
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

static void bad_names(void **state)
{
	static const char *const invalid[] = {
		"",
		"libtpms",
		"tcti=",
		"tcti=:x",
		"TCTI=libtpms",
		"tcti=libtpms:state=/x",
		"tcti=LIBTPMS",
		"tcti=/usr/lib/evil.so",
		"tcti=../evil",
		"tcti=evil.so",
		"tcti=a b",
		"tcti=abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
		"tcti=swtpm",
		"tcti=swtpm:port=1",
		"tcti=swtpm:host=localhost,port=1",
		"tcti=mssim:port=1,host=127.0.0.1.,host=127.0.0.1",
	};
	struct scratch *s = *state;
	struct token *token;

	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		assert_int_equal(try_open(invalid[i], s->dir, &token), -EINVAL);
	assert_int_equal(try_open("tcti=nosuchtransport", s->dir, &token), -ENODEV);
	assert_int_equal(try_open("tcti=device:/dev/null/tpm", s->dir, &token), -ENODEV);
	assert_int_equal(try_open("tcti=device:/dev/null", s->dir, &token), -ENODEV);
	assert_int_equal(try_open("tcti=swtpm:host=127.0.0.1,port=1", s->dir, &token),
			 -ENODEV);
	assert_int_equal(try_open("tcti=mssim:port=1,host=::1", s->dir, &token), -ENODEV);
	assert_int_equal(try_open("tcti=swtpm:path=/dev/null", s->dir, &token), -ENODEV);
	token_close(NULL);
}

struct worker {
	struct token *token;
	const struct token_blob *blob;
	int errors;
};

static void *unseal_often(void *arg)
{
	struct worker *w = arg;
	uint8_t out[32];
	uint32_t wait_s;

	for (int i = 0; i < 8; i++) {
		struct token_blob mine;

		if (token_unseal(w->token, auth, w->blob, out, &wait_s) != 0 ||
		    memcmp(out, secret, 32) != 0 ||
		    token_seal(w->token, auth, secret, 0, &mine) != 0)
			w->errors++;
	}
	return NULL;
}

static void many_threads(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct worker workers[4];
	pthread_t threads[4];
	struct token_blob blob;

	seal(token, &blob);
	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker){.token = token, .blob = &blob};
		assert_int_equal(
			pthread_create(&threads[i], NULL, unseal_often, &workers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].errors, 0);
	}
	token_close(token);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(embedded_reopen),
		TEST(embedded_wrong_auth),
		TEST(embedded_lockout),
		TEST(embedded_pcrs),
		TEST(forged_pcrs_are_not_taken),
		TEST(forged_answers_cost_one_operation),
		TEST(flipped_bits),
		TEST(bad_lengths),
		TEST(blob_of_another_tpm),
		TEST(bad_names),
		TEST(many_threads),
		TEST(forked_child_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
