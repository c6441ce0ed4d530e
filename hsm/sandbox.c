/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "hsm/heap.h"
#include "hsm/hooks.h"
#include "hsm/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||               \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { NR_FILES = 1024 };

const char *const sandbox_names[SANDBOX_MEASURES] = {
	[SANDBOX_NOT_DUMPABLE] = "not dumpable",
	[SANDBOX_NO_NEW_PRIVS] = "no new privileges",
	[SANDBOX_LANDLOCK] = "landlock",
	[SANDBOX_SECCOMP] = "seccomp",
	[SANDBOX_MLOCK] = "memory locked",
	[SANDBOX_WIPED_FREE] = "freed memory wiped",
};

/* --- the start ---------------------------------------------------------------------- */

/* A file or socket opened as descriptor 2 would get what libraries print. */
static int open_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	return 0;
}

/* Libraries take file names, switches and modules to load from the environment. */
static int clean_environment(void)
{
	static const char *const kept[] = {
		"HSMFS_RUNTIME_DIR",
		"HSMFS_STATE_DIR",
		"XDG_RUNTIME_DIR",
		"XDG_STATE_HOME",
		"HOME",
#ifdef HSM_TEST_HOOKS
		"HSMFS_TEST_KEYS",
#endif
	};
	enum { NR_KEPT = sizeof(kept) / sizeof(kept[0]) };
	char *values[NR_KEPT] = {0};
	int ret = 0;

	for (size_t i = 0; i < NR_KEPT; i++)
		if (getenv(kept[i]) && !(values[i] = strdup(getenv(kept[i]))))
			ret = -ENOMEM;
	if (!ret && clearenv())
		ret = -ENOMEM;
	for (size_t i = 0; i < NR_KEPT; i++) {
		if (!ret && values[i] && setenv(kept[i], values[i], 1))
			ret = -errno;
		free(values[i]);
	}
	return ret;
}

/* As much as may be had of what an unlucky start can leave us short of. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max < NR_FILES ? limit.rlim_max : NR_FILES;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int sandbox_begin(void)
{
	int ret = open_streams();

	if (!ret)
		ret = secmem_harden_process();
	if (!ret)
		ret = clean_environment();
	raise_limits();
	signal(SIGCHLD, SIG_DFL); /* the self-test waits for children */
	tzset();
	return ret;
}

/* --- reports ------------------------------------------------------------------------ */

static void in_force(struct sandbox_report *report, enum sandbox_measure measure)
{
	report->measures[measure].in_force = true;
}

static void __attribute__((format(printf, 3, 4)))
missing(struct sandbox_report *report, enum sandbox_measure measure, const char *format,
	...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->measures[measure].why, sizeof(report->measures[measure].why),
		  format, args);
	va_end(args);
}

/* --- landlock ----------------------------------------------------------------------- */

/* Newer than the headers of some systems we build on; zero bits are never asked for. */
enum {
	ACCESS_FS_REFER = 1 << 13,     /* version 2 */
	ACCESS_FS_TRUNCATE = 1 << 14,  /* 3 */
	ACCESS_FS_IOCTL_DEV = 1 << 15, /* 5 */
	ACCESS_NET_TCP = 3,	       /* 4: bind and connect */
	SCOPE_SIGNAL_AND_SOCKETS = 3,  /* 6 */
	ACCESS_FS_FIRST = (1 << 13) - 1,
	ACCESS_FS_OURS = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			 LANDLOCK_ACCESS_FS_MAKE_REG | ACCESS_FS_TRUNCATE,
	ACCESS_FS_DEVICE = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
};

struct ruleset {
	uint64_t fs, net, scoped;
};

/* A token's transport, by what it needs once it is open. */
enum transport { TRANSPORT_NONE, TRANSPORT_DEVICE, TRANSPORT_NETWORK, TRANSPORT_OTHER };

static enum transport transport_of(const char *conf)
{
	if (!strcmp(conf, "tcti=libtpms"))
		return TRANSPORT_NONE;
	if (!strcmp(conf, "tcti=device") || !strncmp(conf, "tcti=device:", 12))
		return TRANSPORT_DEVICE;
	if (!strcmp(conf, "tcti=swtpm") || !strncmp(conf, "tcti=swtpm:", 11) ||
	    !strcmp(conf, "tcti=mssim") || !strncmp(conf, "tcti=mssim:", 11))
		return TRANSPORT_NETWORK;
	return TRANSPORT_OTHER;
}

static enum transport most_of(const struct sandbox_config *config)
{
	enum transport most = TRANSPORT_NONE;

	for (unsigned i = 0; i < config->nr_tokens; i++)
		if (transport_of(config->tokens[i]) > most)
			most = transport_of(config->tokens[i]);
	return most;
}

static int allow_path(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	int ret = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return -errno;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		ret = -errno;
	close(rule.parent_fd);
	return ret;
}

static int allow_paths(int ruleset, const struct sandbox_config *config, uint64_t handled)
{
	int ret = allow_path(ruleset, config->state_dir, ACCESS_FS_OURS & handled);

	if (!ret)
		ret = allow_path(ruleset, config->runtime_dir, ACCESS_FS_OURS & handled);
	for (unsigned i = 0; i < config->nr_tokens && !ret; i++) {
		const char *device = strchr(config->tokens[i], ':');

		if (device && transport_of(config->tokens[i]) == TRANSPORT_DEVICE)
			ret = allow_path(ruleset, device + 1, ACCESS_FS_DEVICE & handled);
	}
	if (!ret && hook_directory())
		ret = allow_path(ruleset, hook_directory(), ACCESS_FS_OURS & handled);
	return ret;
}

static struct ruleset ruleset_of(long version, enum transport transport)
{
	struct ruleset set = {.fs = ACCESS_FS_FIRST};

	if (version >= 2)
		set.fs |= ACCESS_FS_REFER;
	if (version >= 3)
		set.fs |= ACCESS_FS_TRUNCATE;
	if (version >= 5)
		set.fs |= ACCESS_FS_IOCTL_DEV;
	if (version >= 4 && transport < TRANSPORT_NETWORK)
		set.net = ACCESS_NET_TCP;
	if (version >= 6)
		set.scoped = SCOPE_SIGNAL_AND_SOCKETS;
	return set;
}

static int enter_landlock(const struct sandbox_config *config,
			  struct sandbox_report *report)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset set;
	int fd, ret;

	if (version < 1) {
		missing(report, SANDBOX_LANDLOCK, "this kernel has none (%s)",
			strerror(errno));
		return 0;
	}
	set = ruleset_of(version, most_of(config));
	fd = (int)syscall(SYS_landlock_create_ruleset, &set,
			  version >= 6	 ? sizeof(set)
			  : version >= 4 ? offsetof(struct ruleset, scoped)
					 : offsetof(struct ruleset, net),
			  0);
	if (fd < 0)
		return -errno;
	ret = allow_paths(fd, config, set.fs);
	if (!ret && syscall(SYS_landlock_restrict_self, fd, 0))
		ret = -errno;
	close(fd);
	if (!ret)
		in_force(report, SANDBOX_LANDLOCK);
	return ret;
}

/* --- seccomp ------------------------------------------------------------------------ */

#define CALL(name) SCMP_SYS(name)

/* What the libraries under us make of files, memory, threads and sockets. */
static const int calls[] = {
	/* memory */
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(mlock),
	CALL(mlock2),
	CALL(munlock),
	CALL(memfd_secret),
	CALL(membarrier),
	/* threads and signals */
	CALL(futex),
	CALL(clone),
	CALL(clone3),
	CALL(set_robust_list),
	CALL(rseq),
	CALL(set_tid_address),
	CALL(sched_yield),
	CALL(sched_getaffinity),
	CALL(getcpu),
	CALL(exit),
	CALL(exit_group),
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(restart_syscall),
	CALL(signalfd4),
	/* time, identity, randomness */
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(clock_nanosleep),
	CALL(nanosleep),
	CALL(gettimeofday),
	CALL(time),
	CALL(getrandom),
	CALL(getpid),
	CALL(gettid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(uname),
	CALL(sysinfo),
	CALL(getrusage),
	/* descriptors */
	CALL(read),
	CALL(write),
	CALL(readv),
	CALL(writev),
	CALL(pread64),
	CALL(pwrite64),
	CALL(close),
	CALL(dup),
	CALL(fcntl),
	CALL(lseek),
	CALL(poll),
	CALL(ppoll),
	/* sockets */
	CALL(connect),
	CALL(accept4),
	CALL(sendto),
	CALL(sendmsg),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(getsockname),
	CALL(getpeername),
	CALL(shutdown),
	CALL(fstatfs),
	/* the state directory */
	CALL(openat),
	CALL(fstat),
	CALL(newfstatat),
	CALL(statx),
	CALL(fsync),
	CALL(fdatasync),
	CALL(ftruncate),
	CALL(flock),
	CALL(linkat),
	CALL(renameat),
	CALL(renameat2),
	CALL(unlink),
	CALL(unlinkat),
};

/* The argument number @nr under @mask must be @value. */
static int allow_if(scmp_filter_ctx filter, int call, unsigned nr, uint64_t mask,
		    uint64_t value)
{
	const struct scmp_arg_cmp cmp = {
		.arg = nr, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &cmp);
}

static int allow_with_arguments(scmp_filter_ctx filter, enum transport transport)
{
	static const uint64_t all = UINT32_MAX; /* these are ints */
	int ret = 0;

	ret |= allow_if(filter, CALL(mmap), 2, PROT_EXEC, 0);
	ret |= allow_if(filter, CALL(mprotect), 2, PROT_EXEC, 0);
	ret |= allow_if(filter, CALL(prctl), 0, all, PR_SET_NAME);
	ret |= allow_if(filter, CALL(sched_setaffinity), 0, all, 0); /* the caller's */
	ret |= allow_if(filter, CALL(tgkill), 0, all, (uint64_t)getpid());
	ret |= allow_if(filter, CALL(ioctl), 1, all, TCGETS);
	ret |= allow_if(filter, CALL(prlimit64), 2, UINT64_MAX, 0); /* asks only */
	ret |= allow_if(filter, CALL(socket), 0, all, AF_UNIX);
	if (transport == TRANSPORT_NETWORK) {
		ret |= allow_if(filter, CALL(socket), 0, all, AF_INET);
		ret |= allow_if(filter, CALL(socket), 0, all, AF_INET6);
	}
	return ret ? -EINVAL : 0;
}

static int load_filter(scmp_filter_ctx filter, enum transport transport)
{
	int ret =
		seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !ret; i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	if (!ret)
		ret = allow_with_arguments(filter, transport);
	return ret ? ret : seccomp_load(filter);
}

static int enter_seccomp(const struct sandbox_config *config,
			 struct sandbox_report *report)
{
	enum transport transport = most_of(config);
	scmp_filter_ctx filter;
	int ret;

	if (transport == TRANSPORT_OTHER) {
		missing(report, SANDBOX_SECCOMP,
			"a token's transport may need any system call");
		return 0;
	}
	if (prctl(PR_GET_SECCOMP) < 0) {
		missing(report, SANDBOX_SECCOMP, "this kernel has none (%s)",
			strerror(errno));
		return 0;
	}
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return -ENOMEM;
	ret = load_filter(filter, transport);
	seccomp_release(filter);
	if (!ret)
		in_force(report, SANDBOX_SECCOMP);
	return ret;
}

/* --- all of it ---------------------------------------------------------------------- */

/*
 * Only where there is no limit: beyond one, every later allocation would fail. On fault:
 * what is reserved but never used need not be there.
 */
static void lock_memory(struct sandbox_report *report)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY)
		missing(report, SANDBOX_MLOCK,
			"only %llu KiB may be locked (ulimit -l); key memory is",
			(unsigned long long)limit.rlim_cur / 1024);
	else if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		missing(report, SANDBOX_MLOCK, "%s", strerror(errno));
	else
		in_force(report, SANDBOX_MLOCK);
}

int sandbox_enter(const struct sandbox_config *config, struct sandbox_report *report)
{
	int ret;

	memset(report, 0, sizeof(*report));
	if (!prctl(PR_GET_DUMPABLE))
		in_force(report, SANDBOX_NOT_DUMPABLE);
	else
		missing(report, SANDBOX_NOT_DUMPABLE, "the kernel forgot it");
	if (heap_is_wiped())
		in_force(report, SANDBOX_WIPED_FREE);
	else
		missing(report, SANDBOX_WIPED_FREE, "a sanitizer has the heap");
	if (SANITIZED) {
		for (int i = SANDBOX_NO_NEW_PRIVS; i <= SANDBOX_MLOCK; i++)
			missing(report, i, "a sanitizer needs more than we do");
		return 0;
	}
	lock_memory(report);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	in_force(report, SANDBOX_NO_NEW_PRIVS);
	ret = enter_landlock(config, report);
	return ret ? ret : enter_seccomp(config, report);
}
