/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/api/secmem.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/siv.h"
#include "hsm/sandbox.h"
#include "hsm/selftest.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum { ALL_GOOD, UNUSABLE, INCOMPLETE };

/* What a child found when it tried what must not work. */
enum { CHILD_STOPPED = 10, CHILD_NOT_STOPPED, CHILD_NO_SANDBOX };

static int worse(int a, int b)
{
	if (a == UNUSABLE || b == UNUSABLE)
		return UNUSABLE;
	return a > b ? a : b;
}

static int say(const char *what, bool good, const char *detail, int otherwise)
{
	printf("%-24s %s%s%s\n", what, good ? "yes" : "NO", *detail ? ": " : "", detail);
	return good ? ALL_GOOD : otherwise;
}

static int test_ciphers(void)
{
	int result = UNUSABLE;

	for (size_t i = 0; aead_engines[i]; i++) {
		const char *name = aead_engines[i]->name;
		int ret = aead_self_test(aead_engines[i]);

		if (ret == -ENOTSUP)
			printf("%-24s not on this processor\n", name);
		else if (say(name, !ret, ret ? "gives wrong answers" : "known answers",
			     UNUSABLE))
			return UNUSABLE;
		else
			result = ALL_GOOD;
	}
	return worse(result, say("AES-SIV", !siv_self_test(), "known answers", UNUSABLE));
}

static int test_memory(void)
{
	void *memory = secmem_alloc(1);
	bool secret = memory && !strcmp(secmem_kind(), "memfd_secret");

	secmem_free(memory);
	if (!memory)
		return say("key memory", false,
			   "no memory can be locked; raise ulimit -l", UNUSABLE);
	return say("memfd_secret", secret,
		   secret ? ""
			  : "this kernel has none (secretmem.enable=1 at boot?); keys "
			    "are in "
			    "locked memory that root can read",
		   INCOMPLETE);
}

static int test_process(void)
{
	struct rlimit core = {1, 1};

	return say("no core dumps",
		   !getrlimit(RLIMIT_CORE, &core) && !core.rlim_cur && !core.rlim_max, "",
		   INCOMPLETE);
}

static int test_peer_pidfd(void)
{
	int fds[2], pidfd = -1;
	socklen_t len = sizeof(pidfd);
	bool have = !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) &&
		    !getsockopt(fds[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len);

	return say("clients pinned", have, have ? "" : "this kernel has no SO_PEERPIDFD",
		   INCOMPLETE);
}

/* --- tried out ---------------------------------------------------------------------- */

static int read_elsewhere(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES
		       ? CHILD_STOPPED
		       : CHILD_NOT_STOPPED;
}

static int start_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno == EACCES ? CHILD_STOPPED : CHILD_NOT_STOPPED;
}

static int map_code(void)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	return map == MAP_FAILED ? CHILD_STOPPED : CHILD_NOT_STOPPED;
}

static const struct trial {
	const char *what;
	enum sandbox_measure measure;
	int (*run)(void);
} trials[] = {
	{"cannot read elsewhere", SANDBOX_LANDLOCK, read_elsewhere},
	{"cannot start programs", SANDBOX_SECCOMP, start_a_program},
	{"cannot map code", SANDBOX_SECCOMP, map_code},
};

static int try(const struct sandbox_config *config, const struct trial *trial)
{
	struct sandbox_report report;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(config, &report) ? CHILD_NO_SANDBOX : trial->run());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return say(trial->what, false, strerror(errno), UNUSABLE);
	if ((WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) ||
	    (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_STOPPED))
		return say(trial->what, true, "tried", ALL_GOOD);
	return say(trial->what, false, "tried, and it worked", UNUSABLE);
}

static int test_sandbox(const struct sandbox_config *config)
{
	struct sandbox_report report;
	int result = ALL_GOOD;
	int pipe_fds[2];
	pid_t pid;

	memset(&report, 0, sizeof(report));
	/* entered by a child, since there is no way out */
	if (pipe(pipe_fds))
		return say("sandbox", false, strerror(errno), UNUSABLE);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int ret = sandbox_enter(config, &report);

		_exit(ret || write(pipe_fds[1], &report, sizeof(report)) < 0);
	}
	close(pipe_fds[1]);
	if (pid < 0 ||
	    read(pipe_fds[0], &report, sizeof(report)) != (ssize_t)sizeof(report))
		return say("sandbox", false, "cannot be entered", UNUSABLE);
	close(pipe_fds[0]);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < SANDBOX_MEASURES; i++)
		result = worse(result, say(sandbox_names[i], report.measures[i].in_force,
					   report.measures[i].why, INCOMPLETE));
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
		if (report.measures[trials[i].measure].in_force)
			result = worse(result, try(config, &trials[i]));
	return result;
}

int selftest_run(const char *const *tokens, unsigned nr_tokens)
{
	static char state[PATH_MAX], runtime[PATH_MAX];
	const struct sandbox_config config = {state, runtime, tokens, nr_tokens};
	int result = test_ciphers();
	int ret = runtime_dir(runtime, sizeof(runtime));

	result = worse(result, say("runtime directory", !ret,
				   ret ? strerror(-ret) : runtime, UNUSABLE));
	ret = runtime_state_dir(state, sizeof(state));
	result = worse(result, say("state directory", !ret, ret ? strerror(-ret) : state,
				   UNUSABLE));
	result = worse(result, test_memory());
	result = worse(result, test_process());
	result = worse(result, test_peer_pidfd());
	if (*state && *runtime)
		result = worse(result, test_sandbox(&config));
	return fflush(stdout) ? UNUSABLE : result;
}
