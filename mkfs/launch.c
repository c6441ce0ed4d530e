/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm/api/spawn.h"
#include "mkfs/say.h"

extern char **environ;

/*
 * Runs @argv with descriptor @fd as its @as; @quiet: what it says on standard error is
 * lost. 0 with *@pid, or -errno.
 */
static int start(const char *path, char *const argv[], int fd, int as, bool quiet,
		 pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawn_file_actions_adddup2(&actions, fd, as);
	if (rc == 0 && quiet)
		rc = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO,
						      "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawnp(pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* The exit status, or -EIO when a signal ended it. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* What it writes, up to @len - 1 bytes; who writes more gets SIGPIPE when @fd is closed.
 */
static void read_text(int fd, char *text, size_t len)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = read(fd, text + done, len - 1 - done);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	text[done] = '\0';
}

static int say_cannot_run(const char *program, int rc)
{
	return say_error(EXIT_INVALID,
			 "Cannot run %s: %s; is it installed beside hsmsetup or in PATH?",
			 program, strerror(-rc));
}

/* --- hsmfs ----------------------------------------------------------------------- */

/* A pipe that holds the ticket and nothing else: its reading end, or -errno. */
static int make_ticket_pipe(const uint8_t ticket[WIRE_TICKET_BYTES])
{
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	n = write(fds[1], ticket, WIRE_TICKET_BYTES);
	close(fds[1]);
	if (n == WIRE_TICKET_BYTES)
		return fds[0];
	close(fds[0]);
	return -EIO;
}

int launch_hsmfs(const char *dir, const char *mountpoint, const char *mount_options,
		 int read_only, const uint8_t ticket[WIRE_TICKET_BYTES])
{
	char path[PATH_MAX];
	const char *argv[8] = {"hsmfs"};
	pid_t pid;
	int nr = 1;
	int rc, fd = make_ticket_pipe(ticket);

	if (fd < 0)
		return say_error(EXIT_INVALID, "Cannot make a pipe: %s.", strerror(-fd));
	if (mount_options && *mount_options) {
		argv[nr++] = "-o";
		argv[nr++] = mount_options;
	}
	if (read_only)
		argv[nr++] = "--read-only";
	argv[nr++] = dir;
	argv[nr] = mountpoint;
	spawn_find("hsmfs", path, sizeof(path));
	rc = start(path, (char *const *)argv, fd, STDIN_FILENO, false, &pid);
	close(fd);
	if (rc < 0)
		return say_cannot_run("hsmfs", rc);
	rc = wait_for(pid);
	if (rc < 0)
		return say_error(EXIT_INVALID, "hsmfs ended before it had mounted.");
	return rc;
}

/* --- hsmd ------------------------------------------------------------------------ */

int launch_benchmark(char *text, size_t len)
{
	static const char *const argv[] = {"hsmd", "--benchmark", NULL};
	char path[PATH_MAX];
	int fds[2];
	pid_t pid;
	int rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return say_error(EXIT_INVALID, "Cannot make a pipe: %s.",
				 strerror(errno));
	spawn_find("hsmd", path, sizeof(path));
	rc = start(path, (char *const *)argv, fds[1], STDOUT_FILENO, true, &pid);
	close(fds[1]);
	if (rc == 0)
		read_text(fds[0], text, len);
	close(fds[0]);
	if (rc < 0)
		return say_cannot_run("hsmd", rc);
	if (wait_for(pid))
		return say_error(EXIT_INVALID,
				 "hsmd --benchmark failed: run it to see why; an hsmd "
				 "older than this hsmsetup cannot do it.");
	return 0;
}

/* --- fusermount3 ----------------------------------------------------------------- */

int launch_unmount(const char *mountpoint, bool lazily, char *why, size_t why_len)
{
	const char *argv[] = {"fusermount3", lazily ? "-uz" : "-u", "--", mountpoint,
			      NULL};
	int fds[2];
	pid_t pid;
	int rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	rc = start(argv[0], (char *const *)argv, fds[1], STDERR_FILENO, false, &pid);
	close(fds[1]);
	if (rc < 0) {
		snprintf(why, why_len, "cannot run fusermount3: %s", strerror(-rc));
	} else {
		read_text(fds[0], why, why_len);
		why[strcspn(why, "\n")] = '\0';
		rc = wait_for(pid);
		if (rc)
			rc = strstr(why, strerror(EBUSY)) ? -EBUSY : -EIO;
	}
	close(fds[0]);
	return rc;
}
