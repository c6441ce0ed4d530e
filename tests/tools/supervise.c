/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise [-u USER] SECONDS COMMAND [ARG...]
 *
 * Runs COMMAND (as USER) in a session of its own and, when it ends or the time is over,
 * kills every process that descends from it: daemons too, for they become our children
 * when their parents end. Exits with COMMAND's code, 128 + its signal, or 124.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_TIMEOUT = 124, EXIT_CANNOT = 125 };

static void become(const char *user)
{
	struct passwd *pw = getpwnam(user);

	if (!pw || initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) ||
	    setuid(pw->pw_uid)) {
		fprintf(stderr, "supervise: cannot become %s\n", user);
		_exit(EXIT_CANNOT);
	}
	setenv("USER", user, 1);
	setenv("LOGNAME", user, 1);
}

static pid_t start(const char *user, char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	sigprocmask(SIG_SETMASK, mask, NULL);
	setsid();
	if (user)
		become(user);
	execvp(argv[0], argv);
	fprintf(stderr, "supervise: %s: %s\n", argv[0], strerror(errno));
	_exit(EXIT_CANNOT);
}

static pid_t parent_of(const char *pid)
{
	char path[64], line[512], *end;
	int parent = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	/* The command name may hold anything, parentheses too. */
	if (fgets(line, sizeof(line), file)) {
		end = strrchr(line, ')');
		if (end)
			sscanf(end, ") %*c %d", &parent);
	}
	fclose(file);
	return parent;
}

/* The number of children that were sent @sig. */
static int signal_children(int sig)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int nr = 0;

	while (proc && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (parent_of(entry->d_name) != getpid())
			continue;
		kill(atoi(entry->d_name), sig);
		nr++;
	}
	if (proc)
		closedir(proc);
	return nr;
}

/* A killed child's own children become ours, so this ends with none left. */
static void kill_all(void)
{
	struct timespec pause = {.tv_nsec = 10000000};
	int rounds = 1000;

	while (signal_children(SIGKILL) && rounds--) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&pause, NULL);
	}
}

static void read_line(const char *pid, const char *file, char *line, size_t len)
{
	char path[64];
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, file);
	line[0] = '\0';
	in = fopen(path, "re");
	if (!in)
		return;
	if (!fgets(line, (int)len, in))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(in);
}

static int descends_from_us(const char *pid)
{
	char next[16];
	pid_t parent = parent_of(pid);

	while (parent > 1 && parent != getpid()) {
		snprintf(next, sizeof(next), "%d", parent);
		parent = parent_of(next);
	}
	return parent == getpid();
}

/* Who is left, and what in the kernel each waits for. */
static void show_processes(void)
{
	char args[256], wchan[64];
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !descends_from_us(entry->d_name))
			continue;
		read_line(entry->d_name, "wchan", wchan, sizeof(wchan));
		read_line(entry->d_name, "comm", args, sizeof(args));
		fprintf(stderr, "  %s %s in %s\n", entry->d_name, args, wchan);
	}
	if (proc)
		closedir(proc);
}

/* Waits for @pid until @seconds are over or somebody wants us to end. */
static int wait_for(pid_t pid, int seconds, const sigset_t *watched)
{
	struct timespec now, end, left;
	int status, sig;
	pid_t got;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	for (;;) {
		while ((got = waitpid(-1, &status, WNOHANG)) > 0) {
			if (got == pid)
				return WIFEXITED(status) ? WEXITSTATUS(status)
							 : 128 + WTERMSIG(status);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = end.tv_sec - now.tv_sec;
		left.tv_nsec = 0;
		if (left.tv_sec <= 0) {
			fprintf(stderr, "supervise: not done after %d s\n", seconds);
			show_processes();
			return EXIT_TIMEOUT;
		}
		sig = sigtimedwait(watched, NULL, &left);
		if (sig > 0 && sig != SIGCHLD)
			return 128 + sig;
	}
}

int main(int argc, char **argv)
{
	const char *user = NULL;
	sigset_t watched, before;
	int code, seconds;
	pid_t pid;

	if (argc > 2 && !strcmp(argv[1], "-u")) {
		user = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 3 || (seconds = atoi(argv[1])) <= 0) {
		fprintf(stderr, "usage: supervise [-u USER] SECONDS COMMAND [ARG...]\n");
		return EXIT_CANNOT;
	}
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &before);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) || prctl(PR_SET_PDEATHSIG, SIGTERM)) {
		perror("supervise: prctl");
		return EXIT_CANNOT;
	}
	pid = start(user, argv + 2, &before);
	if (pid < 0) {
		perror("supervise: fork");
		return EXIT_CANNOT;
	}
	code = wait_for(pid, seconds, &watched);
	kill_all();
	return code;
}
