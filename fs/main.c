/* SPDX-License-Identifier: Apache-2.0 */
/* hsmfs: serves one volume at one mount point, without a key. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/log.h"
#include "fs/mount.h"
#include "hsm/api/secmem.h"
#include "hsm/api/version.h"

static const char usage[] =
	"Usage: hsmfs [OPTION]... DIRECTORY MOUNTPOINT < ticket\n"
	"Serves the hsmfs volume in DIRECTORY at MOUNTPOINT. 'hsmsetup open' runs it; "
	"the\n"
	"32-byte ticket on standard input says which session of hsmd to use.\n"
	"\n"
	"  -o OPTION[,...]   mount options, see mount.hsmfs(8)\n"
	"  --read-only       as -o ro\n"
	"  --foreground      stay in the foreground, log to standard error\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 mounted, 1 bad arguments or not a volume, 2 no permission, 3 out "
	"of\n"
	"memory, 4 wrong path, 5 exists or busy.\n";

static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, len) && (at[len] == ',' || !at[len]))
			return true;
	}
	return false;
}

static void parse(int argc, char **argv, struct mount_config *config, bool *foreground)
{
	static const struct option longs[] = {{"read-only", no_argument, NULL, 'r'},
					      {"foreground", no_argument, NULL, 'f'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "o:hVf", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			config->options = optarg;
			break;
		case 'r':
			config->read_only = true;
			break;
		case 'f':
			*foreground = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			puts("hsmfs " HSMFS_VERSION);
			exit(0);
		default:
			fputs("Try 'hsmfs --help'.\n", stderr);
			exit(1);
		}
	}
	if (argc - optind != 2) {
		fputs("hsmfs: wants a directory and a mount point; try 'hsmfs --help'.\n",
		      stderr);
		exit(1);
	}
	config->directory = argv[optind];
	config->mountpoint = argv[optind + 1];
	config->read_only |= has_option(config->options, "ro");
}

/* What we open must not lie where detach() puts /dev/null, nor where libraries print. */
static void open_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(1);
}

/* Absolute, so that it means the same after chdir("/"). */
static char *resolve(const char *path)
{
	char *absolute = realpath(path, NULL);

	if (!absolute) {
		fprintf(stderr, "hsmfs: %s: %s\n", path, strerror(errno));
		exit(4);
	}
	return absolute;
}

static void read_ticket(uint8_t ticket[WIRE_TICKET_BYTES])
{
	size_t len = 0;
	ssize_t n;

	while (len < WIRE_TICKET_BYTES &&
	       (n = read(STDIN_FILENO, ticket + len, WIRE_TICKET_BYTES - len)) > 0)
		len += (size_t)n;
	if (len == WIRE_TICKET_BYTES)
		return;
	fputs("hsmfs: no ticket on standard input; use 'hsmsetup open'\n", stderr);
	exit(1);
}

/*
 * Until the kernel has asked for the attributes of the root, nobody may do anything in
 * it; and it takes no answer if it is told at that moment that what it has is not true
 * any more, as suspending does.
 */
static void have_root_known(const char *mountpoint)
{
	struct stat st;

	stat(mountpoint, &st);
}

/* The parent waits for the child's word: exit code, then a sentence. */
static int wait_for_child(int fd, pid_t pid, const char *mountpoint)
{
	unsigned char code;
	char why[512];
	ssize_t n;
	int status;

	if (read(fd, &code, 1) != 1) {
		waitpid(pid, &status, 0);
		fputs("hsmfs: ended unexpectedly; see the system log\n", stderr);
		return 1;
	}
	while ((n = read(fd, why, sizeof(why))) > 0)
		if (write(STDERR_FILENO, why, (size_t)n) != n)
			break;
	if (code == 0)
		have_root_known(mountpoint);
	return code;
}

/* In the background nothing is left of the caller's terminal and directory. */
static int detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    chdir("/"))
		return -errno;
	close(null);
	log_to_syslog();
	return 0;
}

static void report(int fd, int code, const char *why)
{
	unsigned char byte = (unsigned char)code;

	if (write(fd, &byte, 1) == 1 && code)
		dprintf(fd, "hsmfs: %s\n", why);
	close(fd);
}

static int exit_code(int ret)
{
	switch (ret) {
	case 0:
		return 0;
	case -EPERM:
	case -EACCES:
	case -EKEYREJECTED:
	case -EKEYREVOKED:
		return 2;
	case -ENOMEM:
		return 3;
	case -ENOTDIR:
		return 4;
	case -EBUSY:
	case -EEXIST:
		return 5;
	default:
		return 1;
	}
}

/* Mounts, says so on @fd (-1: the foreground), serves until unmounted. */
static int run(const struct mount_config *config, int fd)
{
	char why[512] = "out of memory";
	struct mount *mount = NULL;
	int ret = mount_start(config, &mount, why, sizeof(why));

	if (fd >= 0)
		report(fd, exit_code(ret), why);
	else if (ret)
		fprintf(stderr, "hsmfs: %s\n", why);
	if (ret)
		return exit_code(ret);
	if (fd >= 0 && detach())
		log_warn("could not leave the terminal");
	return mount_serve(mount) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct mount_config config = {0};
	bool foreground = false;
	int pipe_fds[2];
	pid_t pid;

	/* a caller's pipe or lock must not stay open for as long as the mount lasts */
	closefrom(3);
	open_streams();
	parse(argc, argv, &config, &foreground);
	config.directory = resolve(config.directory);
	config.mountpoint = resolve(config.mountpoint);
	umask(0);
	if (secmem_harden_process()) {
		fputs("hsmfs: cannot protect this process\n", stderr);
		return 1;
	}
	read_ticket(config.ticket);
	/* the process that was started is the one that signals are for */
	if (foreground)
		return run(&config, -1);
	if (pipe2(pipe_fds, O_CLOEXEC) || (pid = fork()) < 0) {
		fprintf(stderr, "hsmfs: %s\n", strerror(errno));
		return 3;
	}
	if (pid == 0) {
		close(pipe_fds[0]);
		return run(&config, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	return wait_for_child(pipe_fds[0], pid, config.mountpoint);
}
