/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log by itself: its chain, its summaries, and what a crash leaves. */
#include "tests/unit/hsmd_fixture.h"

#include <openssl/evp.h>

#include "hsm/api/auditlog.h"
#include "hsm/audit.h"
#include "hsm/clock.h"

static struct hsmd folders;
static char state_dir[PATH_MAX], path[PATH_MAX], why[256];
static uint64_t now = 1000000;

/* What a store without hard links says; and how many renames go well, then none. */
static int link_error;
static int nr_renames = -1;

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	if (!link_error)
		return __real_linkat(from_dir, from, to_dir, to, flags);
	errno = link_error;
	return -1;
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	if (nr_renames) {
		nr_renames -= nr_renames > 0;
		return __real_renameat(from_dir, from, to_dir, to);
	}
	errno = EIO;
	return -1;
}

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
	link_error = 0;
	nr_renames = -1;
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
 * Lines with @word in a file. Every line must name the digest of the one before, which
 * for the first is @chain; those that were cut off are counted in *@torn.
 */
static int count_in(const char *name, char chain[65], const char *word, int *torn)
{
	char line[2048], want[80];
	uint8_t digest[32];
	FILE *file = fopen(name, "r");
	int n = 0;

	assert_non_null(file);
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

static void chain_begin(char chain[65])
{
	memset(chain, '0', 64);
	chain[64] = '\0';
}

/* The same in a log that was never put aside. */
static int count(const char *word, int *torn)
{
	char chain[65];

	*torn = 0;
	chain_begin(chain);
	return count_in(path, chain, word, torn);
}

static int lines_with(const char *word)
{
	int torn, n = count(word, &torn);

	assert_int_equal(torn, 0);
	return n;
}

static bool last_line_has(const char *word)
{
	FILE *file = fopen(path, "r");
	char line[4096];
	bool has = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		has = strstr(line, word) != NULL;
	fclose(file);
	return has;
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
	/* Nothing is lost at the end, and that is the last line. */
	note(AUDIT_STOP);
	assert_int_equal(lines_with("handles-refused"), 3);
	assert_int_equal(lines_with("over-limit"), 1);
	assert_true(last_line_has("\"stop\""));
	reopen();
	assert_true(last_line_has("\"stop\""));
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

/* --- when it is long ---------------------------------------------------------------- */

enum { FILE_BYTES = 4 * 1024 * 1024 + 2048 };

static const char *old_path(unsigned number)
{
	static char old[PATH_MAX + AUDITLOG_NAME_BYTES];
	char name[AUDITLOG_NAME_BYTES];

	auditlog_name(number, name);
	assert_int_equal(auditlog_number(name), number);
	snprintf(old, sizeof(old), "%s/%s", state_dir, name);
	return old;
}

static const char *path_of(const char *name)
{
	static char other[PATH_MAX + 32];

	snprintf(other, sizeof(other), "%s/%s", state_dir, name);
	return other;
}

static bool is_there(const char *name)
{
	return access(name, F_OK) == 0;
}

static off_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return st.st_size;
}

/* A line that is not waited for. */
static void add_line(void)
{
	now += 60000;
	audit_refused(AUDIT_HANDLES, some_uuid);
}

/* Adds lines until it is put aside as number @old. How many. */
static int fill(unsigned old)
{
	int n = 0;

	while (!is_there(old_path(old))) {
		add_line();
		n++;
	}
	return n;
}

/* The first line of a file that another one precedes: what it says of that is in @chain.
 */
static void read_start(const char *name, char chain[65])
{
	static const char key[] = "\"prev\":\"";
	char line[2048], *prev;
	FILE *file = fopen(name, "r");

	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	assert_non_null(strstr(line, "\"rotated\""));
	prev = strstr(line, key);
	assert_non_null(prev);
	snprintf(chain, 65, "%s", prev + strlen(key));
}

static void old_lines_go_when_there_are_many(void **state)
{
	const unsigned last = AUDITLOG_KEPT + 3;
	char chain[65], kept[65];
	int torn = 0, n;

	(void)state;
	for (unsigned i = 1; i <= last; i++) {
		n = fill(i);
		if (i % 2)
			reopen();
	}
	for (unsigned i = 1; i <= last - AUDITLOG_KEPT; i++)
		assert_false(is_there(old_path(i)));
	assert_false(is_there(old_path(last + 1)));
	/* and the others follow each other, up to what is written now */
	read_start(old_path(last - AUDITLOG_KEPT + 1), chain);
	for (unsigned i = last - AUDITLOG_KEPT + 1; i <= last; i++) {
		read_start(old_path(i), kept);
		assert_string_equal(chain, kept);
		assert_true(size_of(old_path(i)) < FILE_BYTES);
		assert_int_equal(count_in(old_path(i), chain, "handles-refused", &torn),
				 n);
	}
	note(AUDIT_STOP);
	assert_int_equal(count_in(path, chain, "\"stop\"", &torn), 1);
	assert_int_equal(torn, 0);
}

/* Whoever was stopped before the oldest was removed left one more than are kept. */
static void no_gap_after_a_crash(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= AUDITLOG_KEPT; i++)
		fill(i);
	assert_int_equal(link(old_path(1), path_of("kept")), 0);
	fill(AUDITLOG_KEPT + 1);
	assert_int_equal(rename(path_of("kept"), old_path(1)), 0);
	reopen();
	fill(AUDITLOG_KEPT + 2);
	assert_false(is_there(old_path(1)));
	assert_false(is_there(old_path(2)));
	assert_true(is_there(old_path(3)));
}

/* It has both names then, and of the next one there may be a part. */
static void crash_while_it_is_put_aside(void **state)
{
	char chain[65], next[PATH_MAX + 16];
	int torn = 0;
	FILE *file;

	(void)state;
	note(AUDIT_START);
	audit_close();
	assert_int_equal(link(path, old_path(1)), 0);
	snprintf(next, sizeof(next), "%s/audit.next", state_dir);
	file = fopen(next, "w");
	assert_non_null(file);
	fputs("half a li", file);
	fclose(file);
	assert_int_equal(audit_open(state_dir, why, sizeof(why)), 0);
	note(AUDIT_STOP);
	assert_int_equal(lines_with("\"start\""), 1);
	while (size_of(path) < FILE_BYTES && size_of(old_path(1)) == size_of(path))
		add_line();
	assert_false(is_there(old_path(2)));
	chain_begin(chain);
	assert_int_equal(count_in(old_path(1), chain, "\"st", &torn), 2);
	count_in(path, chain, "", &torn);
	assert_int_equal(torn, 0);
	assert_true(size_of(path) < 10000);
}

/* Then it gets longer, until it can. */
static void nothing_is_lost_that_cannot_be_put_aside(void **state)
{
	char chain[65];
	int torn = 0, n = 0;

	(void)state;
	assert_int_equal(mkdir(old_path(1), 0700), 0);
	for (; size_of(path) < FILE_BYTES + 1024 * 1024; n++)
		add_line();
	assert_int_equal(lines_with("handles-refused"), n);
	assert_int_equal(rmdir(old_path(1)), 0);
	n += fill(1);
	chain_begin(chain);
	assert_int_equal(count_in(old_path(1), chain, "handles-refused", &torn) +
				 count_in(path, chain, "handles-refused", &torn),
			 n);
	assert_int_equal(torn, 0);
}

/* All lines in the two parts, which must follow each other. */
static int lines_of_two(const char *word)
{
	char chain[65];
	int torn = 0, n;

	chain_begin(chain);
	n = count_in(old_path(1), chain, word, &torn);
	n += count_in(path, chain, word, &torn);
	assert_int_equal(torn, 0);
	return n;
}

static void without_hard_links(void **state)
{
	static const int errors[] = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK};
	int n;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (i) {
			teardown(state);
			assert_int_equal(setup(state), 0);
		}
		link_error = errors[i];
		for (n = 0; size_of(path) < FILE_BYTES && !is_there(old_path(1)); n++)
			add_line();
		assert_true(is_there(old_path(1)));
		reopen();
		assert_int_equal(lines_of_two("handles-refused"), n);
	}
}

/* The first rename is done and the next one not, nor the way back. */
static void stopped_between_two_renames(void **state)
{
	int n;

	for (int renames = 1; renames <= 2; renames++) {
		if (renames > 1) {
			teardown(state);
			assert_int_equal(setup(state), 0);
		}
		link_error = EPERM;
		nr_renames = renames > 1 ? 0 : 1;
		for (n = 0; n < 20000; n++)
			add_line();
		nr_renames = -1;
		reopen(); /* as after a crash */
		assert_false(is_there(old_path(1)));
		assert_true(size_of(path) > FILE_BYTES);
		assert_int_equal(lines_with("handles-refused"), n);
		n += fill(1);
		assert_int_equal(lines_of_two("handles-refused"), n);
	}
}

/* While it still runs it goes on, and puts it aside when it can. */
static void goes_on_with_its_other_name(void **state)
{
	int n;

	(void)state;
	link_error = EPERM;
	nr_renames = 1;
	n = fill(1);
	assert_false(is_there(path));
	add_line();
	nr_renames = -1;
	for (n++; !is_there(path); n++)
		add_line();
	assert_int_equal(lines_of_two("handles-refused"), n);
}

static void names_of_old_files(void **state)
{
	static const char *const others[] = {
		"audit.jsonl",	  "audit.0.jsonl",
		"audit.01.jsonl", "audit.-1.jsonl",
		"audit.1.jsonl~", "audit.9999999999.jsonl",
		"audit. 1.jsonl", "",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(auditlog_number(others[i]), 0);
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
		TEST(old_lines_go_when_there_are_many),
		TEST(no_gap_after_a_crash),
		TEST(crash_while_it_is_put_aside),
		TEST(nothing_is_lost_that_cannot_be_put_aside),
		TEST(without_hard_links),
		TEST(stopped_between_two_renames),
		TEST(goes_on_with_its_other_name),
		cmocka_unit_test(names_of_old_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
