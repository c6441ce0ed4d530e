/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/api/spawn.h"

enum {
	READY_TIMEOUT_MS = 30000, /* a real TPM takes seconds to make its first key */
	RETRY_MS = 100,
	READY_FD = 3,
};

void spawn_find(const char *program, char *path, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", path, len);
	char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

	if (slash) {
		size_t left = len - (size_t)(slash + 1 - path);

		if ((size_t)snprintf(slash + 1, left, "%s", program) < left &&
		    !access(path, X_OK))
			return;
	}
	snprintf(path, len, "%s", program);
}

/* In the grandchild: standard streams to /dev/null, the pipe on READY_FD, nothing else.
 */
static void __attribute__((noreturn)) run_hsmd(const char *path, int ready)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(127);
	if (ready == READY_FD)
		fcntl(ready, F_SETFD, 0);
	else if (dup2(ready, READY_FD) < 0)
		_exit(127);
	syscall(SYS_close_range, READY_FD + 1, ~0u, 0);
	if (chdir("/"))
		_exit(127);
	execlp(path, "hsmd", "--ready-fd", "3", "--idle-exit", "60", (char *)NULL);
	_exit(127);
}

/* Double fork, so that hsmd is nobody's zombie. */
static int start_hsmd(int ready)
{
	char path[4096];
	pid_t pid;
	int status;

	spawn_find("hsmd", path, sizeof(path));
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			run_hsmd(path, ready);
		_exit(pid < 0);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return status ? -EAGAIN : 0;
}

/* hsmd writes "0" when it listens, or "ERRNO sentence" and ends. */
static int wait_ready(int fd, char *why, size_t why_len)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char line[512];
	char *text;
	ssize_t n;
	long code;

	if (poll(&poll_fd, 1, READY_TIMEOUT_MS) <= 0) {
		snprintf(why, why_len, "hsmd did not become ready in time");
		return -ETIMEDOUT;
	}
	n = read(fd, line, sizeof(line) - 1);
	if (n <= 0) {
		snprintf(why, why_len,
			 "hsmd could not be started; is it installed beside this program "
			 "or in "
			 "PATH?");
		return -ENOENT;
	}
	line[n] = '\0';
	code = strtol(line, &text, 10);
	if (code <= 0)
		return 0;
	snprintf(why, why_len, "%s", text + strspn(text, " "));
	return -(int)code;
}

static int spawn_and_wait(char *why, size_t why_len)
{
	int ready[2], ret;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	ret = start_hsmd(ready[1]);
	close(ready[1]);
	if (!ret)
		ret = wait_ready(ready[0], why, why_len);
	else
		snprintf(why, why_len, "hsmd could not be started (%s)", strerror(-ret));
	close(ready[0]);
	return ret;
}

static bool nobody_there(int ret)
{
	return ret == -ENOENT || ret == -ECONNREFUSED;
}

static int open_lock(void)
{
	char path[4096];
	int fd;

	if (runtime_dir(path, sizeof(path) - 16))
		return -EPERM;
	strcat(path, "/spawn.lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Another hsmd holds its lock without listening: it was started by hand a moment ago, or
 * it is ending because nobody needed it.
 */
static int connect_or_start(char *why, size_t why_len)
{
	int fd = runtime_connect(why, why_len), ret;

	for (int tries = READY_TIMEOUT_MS / RETRY_MS; nobody_there(fd) && tries;
	     tries--) {
		ret = spawn_and_wait(why, why_len);
		if (ret && ret != -EADDRINUSE)
			return ret;
		if (ret)
			usleep(RETRY_MS * 1000);
		fd = runtime_connect(why, why_len);
	}
	return fd;
}

int spawn_connect(char *why, size_t why_len)
{
	int lock, fd;

	fd = runtime_connect(why, why_len);
	if (!nobody_there(fd))
		return fd;
	lock = open_lock();
	if (lock < 0)
		return fd;
	fd = connect_or_start(why, why_len);
	close(lock);
	return fd;
}
