// SPDX-License-Identifier: Apache-2.0
/* The embedded emulator's state on disk: damage, crashes, locks, permissions. */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <openssl/sha.h>

#include "tests/unit/token_fixture.h"

static size_t read_file(const char *path, uint8_t *buf, size_t room)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, room, f);
	assert_true(n < room);
	fclose(f);
	return n;
}

static void write_file(const char *path, const uint8_t *buf, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static uint8_t good[256 * 1024], bad[256 * 1024], after[256 * 1024];

/* What @len bytes of bad state get: refused, and still there as they were. */
static void assert_refused(const struct scratch *s, size_t len)
{
	struct token *token;

	write_file(s->permall, bad, len);
	assert_int_equal(try_open(LIBTPMS, s->dir, &token), -EUCLEAN);
	assert_int_equal(read_file(s->permall, after, sizeof(after)), len);
	assert_memory_equal(after, bad, len);
}

/* A damaged TPM must never be replaced by a fresh one: that would destroy the keys. */
static void damaged_state(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	struct token_blob blob;
	size_t len;

	seal(token, &blob);
	token_close(token);
	len = read_file(s->permall, good, sizeof(good));
	for (size_t at = 0; at < len; at += at < 64 ? 3 : len / 16) {
		memcpy(bad, good, len);
		bad[at] ^= 4;
		assert_refused(s, len);
	}
	memcpy(bad, good, len);
	for (size_t cut = 0; cut < len; cut = cut * 3 + 1)
		assert_refused(s, cut);
	assert_refused(s, len - 1);
	assert_refused(s, len + 1);
	memset(bad, 0, sizeof(bad));
	assert_refused(s, len);

	write_file(s->permall, good, len);
	token = open_token(LIBTPMS, s->dir);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

/* A file whole in itself whose content is no TPM (or that of a TPM to come). */
static void state_libtpms_refuses(void **state)
{
	struct scratch *s = *state;
	size_t len, header = 48;
	uint32_t body;

	token_close(open_token(LIBTPMS, s->dir));
	len = read_file(s->permall, good, sizeof(good));
	for (int kind = 0; kind < 3; kind++) {
		memcpy(bad, good, len);
		body = (uint32_t)(len - header);
		if (kind == 0)
			memset(bad + header, 0, body);
		else if (kind == 1)
			body /= 2;
		else
			bad[header + 6] ^= 0x40; /* the libtpms it takes to read it */
		bad[8] = (uint8_t)body;
		bad[9] = (uint8_t)(body >> 8);
		bad[10] = (uint8_t)(body >> 16);
		SHA256(bad + header, body, bad + 16);
		assert_refused(s, header + body);
	}
	write_file(s->permall, good, len);
	token_close(open_token(LIBTPMS, s->dir));
}

static void unreadable_state(void **state)
{
	struct scratch *s = *state;
	char moved[PATH_MAX + 16];
	struct token *token = open_token(LIBTPMS, s->dir);
	struct stat st;

	token_close(token);
	snprintf(moved, sizeof(moved), "%s.moved", s->permall);
	assert_int_equal(rename(s->permall, moved), 0);

	assert_int_equal(symlink(moved, s->permall), 0);
	assert_true(try_open(LIBTPMS, s->dir, &token) < 0);
	assert_int_equal(lstat(s->permall, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(s->permall), 0);

	assert_int_equal(mkfifo(s->permall, 0600), 0);
	assert_true(try_open(LIBTPMS, s->dir, &token) < 0);
	assert_int_equal(lstat(s->permall, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(unlink(s->permall), 0);

	assert_int_equal(mkdir(s->permall, 0700), 0);
	assert_true(try_open(LIBTPMS, s->dir, &token) < 0);
}

/*
 * A failed try that cannot be written down must not be answered like one that was: who
 * fills the disk would guess for free.
 */
static void state_cannot_be_written(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	char blocker[PATH_MAX + 16];
	struct token_blob blob, other;
	size_t len;

	seal(token, &blob);
	assert_unseals(token, auth, &blob);
	len = read_file(s->permall, good, sizeof(good));
	snprintf(blocker, sizeof(blocker), "%s.new", s->permall);
	assert_int_equal(mkdir(blocker, 0700), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(unseal_result(token, wrong, &blob), -EISDIR);
		assert_int_equal(unseal_result(token, auth, &blob), -EISDIR);
		assert_int_equal(token_seal(token, auth, secret, 0, &other), -EISDIR);
	}
	assert_int_equal(read_file(s->permall, after, sizeof(after)), len);
	assert_memory_equal(after, good, len);

	/* Nobody has to be told, or to end, for it to go on. */
	assert_int_equal(rmdir(blocker), 0);
	assert_unseals(token, auth, &blob);
	assert_int_equal(unseal_result(token, wrong, &blob), -EKEYREJECTED);
	assert_int_equal(mkdir(blocker, 0700), 0);
	assert_int_equal(unseal_result(token, wrong, &blob), -EISDIR);
	assert_int_equal(rmdir(blocker), 0);
	seal(token, &other);
	assert_unseals(token, auth, &other);
	token_close(token);
	token = open_token(LIBTPMS, s->dir);
	assert_unseals(token, auth, &blob);
	assert_unseals(token, auth, &other);
	token_close(token);
}

/* What was damaged meanwhile is not taken for no state: that would be another TPM. */
static void state_damaged_while_it_cannot_be_written(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	char blocker[PATH_MAX + 16];
	struct token_blob blob;
	size_t len;

	seal(token, &blob);
	len = read_file(s->permall, good, sizeof(good));
	snprintf(blocker, sizeof(blocker), "%s.new", s->permall);
	assert_int_equal(mkdir(blocker, 0700), 0);
	assert_int_equal(unseal_result(token, wrong, &blob), -EISDIR);
	write_file(s->permall, good, len / 2);
	assert_int_equal(rmdir(blocker), 0);
	assert_true(unseal_result(token, auth, &blob) != -EKEYREJECTED);
	assert_true(unseal_result(token, auth, &blob) != -EKEYREJECTED);
	assert_int_equal(read_file(s->permall, after, sizeof(after)), len / 2);
	write_file(s->permall, good, len);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

/* Said in words when it is opened. */
static void new_state_cannot_be_written(void **state)
{
	struct scratch *s = *state;
	char blocker[PATH_MAX + 16], why[256] = "";
	struct token *token = open_token(LIBTPMS, s->dir);

	token_close(token);
	snprintf(blocker, sizeof(blocker), "%s.new", s->permall);
	assert_int_equal(mkdir(blocker, 0700), 0);
	assert_int_equal(token_open(LIBTPMS, s->dir, &token, why, sizeof(why)), -EISDIR);
	assert_non_null(strstr(why, "cannot write its state"));
	assert_int_equal(rmdir(blocker), 0);
	token_close(open_token(LIBTPMS, s->dir));
}

/* What a crash in the middle of writing leaves behind. */
static void leftover_temporary_file(void **state)
{
	struct scratch *s = *state;
	struct token *token = open_token(LIBTPMS, s->dir);
	char leftover[PATH_MAX + 16];
	struct token_blob blob;

	seal(token, &blob);
	token_close(token);
	snprintf(leftover, sizeof(leftover), "%s.new", s->permall);
	write_file(leftover, (const uint8_t *)"half", 4);
	token = open_token(LIBTPMS, s->dir);
	assert_unseals(token, auth, &blob);
	token_close(token);
}

static void one_at_a_time(void **state)
{
	struct scratch *s = *state;
	char lock[PATH_MAX];
	struct token *token = open_token(LIBTPMS, s->dir), *second;
	int fd;

	assert_int_equal(try_open(LIBTPMS, s->dir, &second), -EBUSY);
	token_close(token);

	snprintf(lock, sizeof(lock), "%s/tpm/lock", s->dir);
	fd = open(lock, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(try_open(LIBTPMS, s->dir, &second), -EBUSY);
	close(fd);
	token_close(open_token(LIBTPMS, s->dir));
}

/* Runs the emulator in a process that is killed after 32 wrong tries. */
static void crash_after_guesses(const char *dir, int blob_fd)
{
	struct token *token;
	struct token_blob blob;
	uint8_t out[32];
	uint32_t wait_s;
	char why[256];

	if (token_open(LIBTPMS, dir, &token, why, sizeof(why)) < 0 ||
	    token_seal(token, auth, secret, 0, &blob) < 0)
		_exit(1);
	for (int i = 0; i < 32; i++) {
		if (token_unseal(token, wrong, &blob, out, &wait_s) != -EKEYREJECTED)
			_exit(2);
	}
	if (write(blob_fd, &blob, sizeof(blob)) != sizeof(blob))
		_exit(3);
	kill(getpid(), SIGKILL);
}

/* What the TPM answered is on disk, whenever its process dies: tries, too. */
static void killing_buys_no_tries(void **state)
{
	struct scratch *s = *state;
	struct token_blob blob;
	struct token *token;
	uint8_t out[32];
	uint32_t wait_s;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		crash_after_guesses(s->dir, fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read(fds[0], &blob, sizeof(blob)), sizeof(blob));
	close(fds[0]);
	close(fds[1]);
	token = open_token(LIBTPMS, s->dir);
	assert_int_equal(token_unseal(token, auth, &blob, out, &wait_s), -EAGAIN);
	assert_in_range(wait_s, 1, 2 * 600);
	token_close(token);
}

static void closed_to_others(void **state)
{
	struct scratch *s = *state;
	mode_t mask = umask(0);
	char tpm[PATH_MAX];
	struct token *token = open_token(LIBTPMS, s->dir);
	struct stat st;

	token_close(token);
	umask(mask);
	snprintf(tpm, sizeof(tpm), "%s/tpm", s->dir);
	assert_int_equal(stat(tpm, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(s->permall, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(chmod(tpm, 0710), 0);
	assert_int_equal(try_open(LIBTPMS, s->dir, &token), -EACCES);
	assert_int_equal(chmod(tpm, 0700), 0);
	token_close(open_token(LIBTPMS, s->dir));
}

static void state_dir_is_a_file(void **state)
{
	struct scratch *s = *state;
	char path[PATH_MAX];
	struct token *token;

	snprintf(path, sizeof(path), "%s/file", s->dir);
	write_file(path, (const uint8_t *)"x", 1);
	assert_int_equal(try_open(LIBTPMS, path, &token), -ENOTDIR);
	strcat(path, "/below");
	assert_int_equal(try_open(LIBTPMS, path, &token), -ENOTDIR);
	/* Neither failure keeps the one emulator of this process. */
	token_close(open_token(LIBTPMS, s->dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(damaged_state),
		TEST(state_libtpms_refuses),
		TEST(unreadable_state),
		TEST(state_cannot_be_written),
		TEST(leftover_temporary_file),
		TEST(one_at_a_time),
		TEST(killing_buys_no_tries),
		TEST(closed_to_others),
		TEST(state_dir_is_a_file),
		TEST(state_damaged_while_it_cannot_be_written),
		TEST(new_state_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
