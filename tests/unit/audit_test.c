/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log by itself: its chain, its summaries, and what a crash leaves. */
#include "tests/unit/hsmd_fixture.h"

#include <openssl/evp.h>

#include "hsm/audit.h"
#include "hsm/clock.h"

static struct hsmd folders;
static char state_dir[PATH_MAX], path[PATH_MAX], why[256];
static uint64_t now = 1000000;

static uint64_t clock_of_test(void)
{
	return now;
}

static int setup(void **state)
{
	(void)state;
	hsmd_folders(&folders);
	snprintf(state_dir, sizeof(state_dir), "%s", folders.dir);
	snprintf(path, sizeof(path), "%s/audit.jsonl", folders.dir);
	clock_set_source(clock_of_test);
	return audit_open(state_dir, why, sizeof(why));
}

static int teardown(void **state)
{
	(void)state;
	audit_close();
	clock_set_source(NULL);
	hsmd_remove(&folders);
	return 0;
}

static void note(enum audit_event event)
{
	const struct audit_record record = {.event = event, .slot = -1};

	audit_write(&record);
}

/*
 * Lines with @word. Every line must name the digest of the one before; those that were
 * cut off are counted in *@torn.
 */
static int count(const char *word, int *torn)
{
	char line[2048], chain[65], want[80];
	uint8_t digest[32];
	FILE *file = fopen(path, "r");
	int n = 0;

	*torn = 0;
	assert_non_null(file);
	memset(chain, '0', 64);
	chain[64] = '\0';
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(want, sizeof(want), "\"prev\":\"%s\"}", chain);
		if (line[0] && line[strlen(line) - 1] == '}')
			assert_non_null(strstr(line, want));
		else
			++*torn;
		n += strstr(line, word) != NULL;
		EVP_Digest(line, strlen(line), digest, NULL, EVP_sha256(), NULL);
		for (int i = 0; i < 32; i++)
			snprintf(chain + 2 * i, 3, "%02x", digest[i]);
	}
	fclose(file);
	return n;
}

static int lines_with(const char *word)
{
	int torn, n = count(word, &torn);

	assert_int_equal(torn, 0);
	return n;
}

static void reopen(void)
{
	audit_close();
	assert_int_equal(audit_open(state_dir, why, sizeof(why)), 0);
}

static void chain_goes_on_after_a_restart(void **state)
{
	(void)state;
	note(AUDIT_START);
	note(AUDIT_STOP);
	reopen();
	note(AUDIT_START);
	assert_int_equal(lines_with("\"start\""), 2);
	assert_int_equal(lines_with("\"torn\""), 0);
}

/* No volume is blamed for what another one's client did. */
static void summary_of_several_names_none(void **state)
{
	const uint8_t other[KEYSLOT_UUID_BYTES] = {0};

	(void)state;
	audit_refused(AUDIT_HANDLES, some_uuid);
	assert_int_equal(lines_with("\"uuid\""), 1);
	audit_refused(AUDIT_HANDLES, some_uuid);
	audit_refused(AUDIT_HANDLES, other);
	now += 60000;
	audit_refused(AUDIT_HANDLES, other);
	assert_int_equal(lines_with("\"count\":3,"), 1);
	assert_int_equal(lines_with("\"uuid\""), 1);
	now += 60000;
	audit_refused(AUDIT_HANDLES, other);
	assert_int_equal(lines_with("\"uuid\""), 2);
}

static void flood_becomes_a_line_a_minute(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++)
		audit_refused(AUDIT_HANDLES, some_uuid);
	assert_int_equal(lines_with("handles-refused"), 1);
	now += 59999;
	audit_refused(AUDIT_HANDLES, some_uuid);
	assert_int_equal(lines_with("handles-refused"), 1);
	now += 1;
	audit_refused(AUDIT_HANDLES, some_uuid);
	assert_int_equal(lines_with("handles-refused"), 2);
	assert_int_equal(lines_with("\"count\":100001,"), 1);
	audit_refused(AUDIT_HANDLES, some_uuid);
	audit_refused(AUDIT_LIMIT, some_uuid);
	reopen(); /* nothing is lost at the end */
	assert_int_equal(lines_with("handles-refused"), 3);
	assert_int_equal(lines_with("over-limit"), 1);
}

static void cut_line_is_noted(void **state)
{
	struct stat st;
	int torn;

	(void)state;
	note(AUDIT_START);
	note(AUDIT_LOCK);
	assert_int_equal(stat(path, &st), 0);
	for (off_t cut = 1; cut < 150; cut += 37) {
		audit_close();
		assert_int_equal(truncate(path, st.st_size - cut), 0);
		assert_int_equal(audit_open(state_dir, why, sizeof(why)), 0);
		note(AUDIT_STOP);
		assert_int_equal(count("\"torn\"", &torn), 1);
		/* without its newline alone, the line is whole and stays good */
		assert_int_equal(torn, cut > 1);
	}
}

static void one_writer_only(void **state)
{
	int fds[2], ret = 1;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		/* the lock is the open file's: take a new one */
		ret = audit_open(state_dir, why, sizeof(why));
		_exit(write(fds[1], &ret, sizeof(ret)) != sizeof(ret));
	}
	assert_int_equal(read(fds[0], &ret, sizeof(ret)), sizeof(ret));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(ret, -EBUSY);
	close(fds[0]);
	close(fds[1]);
}

static void not_our_file(void **state)
{
	(void)state;
	audit_close();
	assert_int_equal(chmod(path, 0622), 0);
	assert_int_equal(audit_open(state_dir, why, sizeof(why)), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(audit_open(state_dir, why, sizeof(why)) < 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(audit_open(state_dir, why, sizeof(why)) < 0);
	assert_true(strlen(why) > 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chain_goes_on_after_a_restart),
		TEST(summary_of_several_names_none),
		TEST(flood_becomes_a_line_a_minute),
		TEST(cut_line_is_noted),
		TEST(one_writer_only),
		TEST(not_our_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
