/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of rules that a file system must keep. Each runs in a process and an empty
 * directory of its own, so that what it does to its umask, user or files is its own. The
 * output has one line a rule and is the same on every file system that keeps the same.
 */
#ifndef TESTS_TOOLS_RULES_H
#define TESTS_TOOLS_RULES_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	RULE_ROOT = 1 << 0, /* needs to become other users */
	RULE_USER = 1 << 1, /* means nothing for root, who may do everything */
	RULE_SECONDS = 200,
	OTHER_UID = 23456,
	OTHER_GID = 23457,
};

struct rule {
	const char *name;
	int (*run)(void); /* 0, or 1 after REQUIRE said why */
	unsigned flags;
};

#define REQUIRE(cond)                                                                    \
	do {                                                                             \
		errno = 0;                                                               \
		if (!(cond)) {                                                           \
			fprintf(stderr, "  line %d: %s (%s)\n", __LINE__, #cond,         \
				strerror(errno));                                        \
			return 1;                                                        \
		}                                                                        \
	} while (0)

#define REQUIRE_ERROR(call, error)                                                       \
	do {                                                                             \
		errno = 0;                                                               \
		if ((call) != -1 || errno != (error)) {                                  \
			fprintf(stderr, "  line %d: %s: %s, not %s\n", __LINE__, #call,  \
				strerror(errno), strerror(error));                       \
			return 1;                                                        \
		}                                                                        \
	} while (0)

/* 0 or -1. */
static inline int put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	ssize_t done = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0 && (close(fd) || chmod(path, mode)))
		return -1;
	return done == (ssize_t)strlen(text) ? 0 : -1;
}

static inline int has(const char *path, const char *text)
{
	char buf[256];
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	if (fd >= 0)
		close(fd);
	return len == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)len);
}

/* Permission bits, or -1. */
static inline int mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

/* Gives root's rights up for good. 0 or -1. */
static inline int become(uid_t uid, gid_t gid)
{
	return setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)
		       ? -1
		       : 0;
}

/* Runs @part as another user; what it returns. */
static inline int as_other(int (*part)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(become(OTHER_UID, OTHER_GID) ? 2 : part());
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : 1;
}

/* Long enough for the clock of any file system to move. */
static inline void nap(void)
{
	struct timespec ts = {0, 20000000};

	nanosleep(&ts, NULL);
}

static inline int run_rule(const struct rule *rule, unsigned number)
{
	char dir[32];
	int status = 1;
	pid_t pid;

	snprintf(dir, sizeof(dir), "rule-%u", number);
	if (mkdir(dir, 0777) || chmod(dir, 0777))
		return 1;
	pid = fork();
	if (pid == 0) {
		umask(022);
		alarm(RULE_SECONDS);
		exit(chdir(dir) ? 1 : rule->run());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return status;
}

/* rules DIR [NAME]: all, or one. Exits with 1 if any is broken. */
static inline int rules_main(int argc, char **argv, const struct rule *rules, size_t nr)
{
	int failed = 0;

	if (argc < 2 || chdir(argv[1])) {
		fprintf(stderr, "usage: %s DIR [RULE]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; i < nr; i++) {
		const char *result = "skip";

		if (argc > 2 && strcmp(argv[2], rules[i].name))
			continue;
		if (!(rules[i].flags & (geteuid() ? RULE_ROOT : RULE_USER))) {
			int status = run_rule(&rules[i], (unsigned)i);

			result = status ? "FAIL" : "ok";
			failed |= status;
		}
		printf("%s %s\n", result, rules[i].name);
	}
	return failed ? 1 : 0;
}

#define RULES_MAIN(rules)                                                                \
	int main(int argc, char **argv)                                                  \
	{                                                                                \
		return rules_main(argc, argv, rules,                                     \
				  sizeof(rules) / sizeof((rules)[0]));                   \
	}

#endif
