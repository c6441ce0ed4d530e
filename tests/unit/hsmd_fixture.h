/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real hsmd for a test, in folders of its own, and clients of it: one connection that
 * owns a session, any number that use it through tickets, and queues.
 */
#ifndef TESTS_UNIT_HSMD_FIXTURE_H
#define TESTS_UNIT_HSMD_FIXTURE_H

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "hsm/api/client.h"
#include "hsm/api/queue.h"

enum {
	ARENA_BYTES = 65536,
	/* where things lie in the arena */
	AT_DATA = 0,
	AT_SEALED = 8192,
	AT_OPENED = 16384,
	CONTENT = 1000,
	ANSWER_MS = 30000,
};

static const uint8_t some_uuid[KEYSLOT_UUID_BYTES] = "a volume's uuid";
static const uint8_t some_file[PAGE_ID_BYTES] = "a file's own id";

struct hsmd {
	char dir[PATH_MAX / 2];
	pid_t pid;
};

/* --- the process -------------------------------------------------------------------- */

static inline void hsmd_path(char *path, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", path, len - 32);

	assert_true(n > 0);
	path[n] = '\0';
	strcpy(strrchr(path, '/'), "/../bin/hsmd");
}

static inline void hsmd_folders(struct hsmd *hsmd)
{
	const char *base = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(hsmd->dir, sizeof(hsmd->dir), "%s/hsmdXXXXXX", base ? base : P_tmpdir);
	assert_non_null(mkdtemp(hsmd->dir));
	snprintf(path, sizeof(path), "%s/run", hsmd->dir);
	setenv("HSMFS_RUNTIME_DIR", path, 1);
	snprintf(path, sizeof(path), "%s/state", hsmd->dir);
	setenv("HSMFS_STATE_DIR", path, 1);
}

/*
 * Starts hsmd with up to four more words; returns when it serves. However slow the
 * machine, no handle dies unless a test wants it to.
 */
static inline void hsmd_start(struct hsmd *hsmd, const char *const words[])
{
	const char *argv[10] = {"hsmd", "--ready-fd", "3", "--handle-lifetime", "86400"};
	char path[PATH_MAX], ready[8] = "";
	int fds[2];

	for (int i = 0; words && words[i]; i++)
		argv[5 + i] = words[i];
	hsmd_path(path, sizeof(path));
	assert_int_equal(pipe(fds), 0);
	hsmd->pid = fork();
	assert_true(hsmd->pid >= 0);
	if (hsmd->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 3);
		execv(path, (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
	assert_true(read(fds[0], ready, sizeof(ready) - 1) > 0);
	assert_string_equal(ready, "0");
	close(fds[0]);
}

/* One of its own, one a connection, one a queue. */
static inline unsigned hsmd_threads(const struct hsmd *hsmd)
{
	char path[64], line[256];
	unsigned nr = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)hsmd->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (!nr && fgets(line, sizeof(line), file))
		sscanf(line, "Threads: %u", &nr);
	fclose(file);
	return nr;
}

/* Waits until hsmd has seen the end of all connections but those of @threads. */
static inline void hsmd_settle(const struct hsmd *hsmd, unsigned threads)
{
	for (int i = 0; hsmd_threads(hsmd) > threads && i < 2 * ANSWER_MS; i++)
		usleep(1000);
	assert_true(hsmd_threads(hsmd) <= threads);
}

static inline void hsmd_kill(struct hsmd *hsmd)
{
	kill(hsmd->pid, SIGKILL);
	assert_int_equal(waitpid(hsmd->pid, NULL, 0), hsmd->pid);
}

/* It ends by itself, and not by the sandbox or a sanitizer. */
static inline void hsmd_stop(struct hsmd *hsmd)
{
	int status;

	kill(hsmd->pid, SIGTERM);
	assert_int_equal(waitpid(hsmd->pid, &status, 0), hsmd->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline int hsmd_remove_entry(const char *path, const struct stat *st, int type,
				    struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void hsmd_remove(struct hsmd *hsmd)
{
	nftw(hsmd->dir, hsmd_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- its clients -------------------------------------------------------------------- */

static inline struct hsm_client *connect_client(void)
{
	struct hsm_client *hsm = NULL;
	char why[256] = "";

	if (hsm_connect(0, &hsm, why, sizeof(why)))
		fail_msg("no connection: %s", why);
	return hsm;
}

static inline struct hsm_client *own_session(void)
{
	struct hsm_client *owner = connect_client();

	assert_int_equal(hsm_create(owner, some_uuid), 0);
	return owner;
}

/* A connection that has redeemed a ticket for @want. */
static inline struct hsm_client *use_session_as(struct hsm_client *owner,
						const struct wire_ticket *want)
{
	struct hsm_client *user = connect_client();
	struct wire_redeem_reply reply;
	uint8_t ticket[WIRE_TICKET_BYTES];

	assert_int_equal(hsm_ticket(owner, want, ticket), 0);
	assert_int_equal(hsm_redeem(user, ticket, &reply), 0);
	assert_memory_equal(reply.uuid, some_uuid, sizeof(some_uuid));
	assert_int_equal(reply.rights, want->rights);
	return user;
}

static inline struct hsm_client *use_session(struct hsm_client *owner)
{
	const struct wire_ticket want = {.rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL};

	return use_session_as(owner, &want);
}

static inline void attach(struct queue *queue, struct hsm_client *user)
{
	assert_int_equal(queue_init(queue, ARENA_BYTES), 0);
	assert_int_equal(queue_attach(queue, user), 0);
}

/*
 * One message as @len bytes of @message and the answer to it in @answer: its length, 0
 * when hsmd has closed the connection.
 */
static inline size_t say_raw(int fd, const void *message, size_t len, void *answer,
			     size_t room)
{
	ssize_t n;

	if (send(fd, message, len, MSG_NOSIGNAL) != (ssize_t)len)
		return 0;
	n = recv(fd, answer, room, 0);
	return n > 0 ? (size_t)n : 0;
}

/* The status of the answer to a message without a body; -EPIPE without an answer. */
static inline int say_type(int fd, uint32_t type)
{
	const struct wire_header header = {.type = type, .length = sizeof(header)};
	struct wire_header answer[32];

	if (say_raw(fd, &header, sizeof(header), answer, sizeof(answer)) < sizeof(header))
		return -EPIPE;
	return answer[0].status;
}

/* --- operations --------------------------------------------------------------------- */

static inline struct ring_sqe sqe_seal(void)
{
	struct ring_sqe sqe = {.op = RING_SEAL,
			       .count = 1,
			       .first_page = 1,
			       .src = AT_DATA,
			       .src_len = CONTENT,
			       .last_len = CONTENT,
			       .dst = AT_SEALED,
			       .dst_len = PAGE_BYTES};

	memcpy(sqe.file_id, some_file, sizeof(sqe.file_id));
	return sqe;
}

static inline struct ring_sqe sqe_open(void)
{
	struct ring_sqe sqe = {.op = RING_OPEN,
			       .count = 1,
			       .first_page = 1,
			       .src = AT_SEALED,
			       .src_len = CONTENT + PAGE_SEAL_BYTES,
			       .dst = AT_OPENED,
			       .dst_len = PAGE_BYTES};

	memcpy(sqe.file_id, some_file, sizeof(sqe.file_id));
	return sqe;
}

/* Waits for one completion; false when none comes within @ms. */
static inline bool await(struct queue *queue, struct ring_cqe *cqe, unsigned ms)
{
	for (unsigned waited = 0; !queue_reap(queue, cqe); waited += 10) {
		if (waited >= ms)
			return false;
		queue_wait(queue, 10);
	}
	return true;
}

static inline struct ring_cqe run(struct queue *queue, const struct ring_sqe *sqe)
{
	struct ring_cqe cqe = {0};

	assert_int_equal(queue_submit(queue, sqe), 0);
	queue_flush(queue);
	assert_true(await(queue, &cqe, ANSWER_MS));
	assert_int_equal(cqe.cookie, sqe->cookie);
	return cqe;
}

static inline uint8_t content_at(size_t i)
{
	return (uint8_t)(i * 7 + 1);
}

static inline int seal_page(struct queue *queue)
{
	const struct ring_sqe sqe = sqe_seal();

	for (size_t i = 0; i < CONTENT; i++)
		queue->arena[AT_DATA + i] = content_at(i);
	return run(queue, &sqe).status;
}

/* Opens the sealed page: its content after 0, not a byte of anything after an error. */
static inline int open_page(struct queue *queue)
{
	const struct ring_sqe sqe = sqe_open();
	uint8_t *out = queue->arena + AT_OPENED;
	int status;

	memset(out, 0, PAGE_BYTES);
	status = run(queue, &sqe).status;
	for (size_t i = 0; i < PAGE_BYTES; i++)
		assert_int_equal(out[i], !status && i < CONTENT ? content_at(i) : 0);
	return status;
}

#endif
