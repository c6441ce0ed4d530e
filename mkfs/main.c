/* SPDX-License-Identifier: Apache-2.0 */
/* hsmsetup, and the names it answers to: mkfs.hsmfs and mount.hsmfs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "hsm/api/version.h"
#include "mkfs/cmd.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

struct command {
	const char *name;
	const char *alias; /* or NULL */
	const char *args;  /* what follows, for people */
	int nr_args;
	unsigned options; /* OPTION_*, besides help and version */
	int (*run)(char *const args[], const struct options *options);
	const char *summary;
};

/* What every command takes: --batch-mode asks nothing where nothing is asked, too. */
enum { OPTIONS_ALL = OPTION_HELP | OPTION_VERSION | OPTION_BATCH };

static const struct command commands[] = {
	{"luksFormat", "format", "DIR", 1,
	 OPTIONS_KEY | OPTIONS_PBKDF | OPTION_ITER_TIME | OPTION_NO_RECOVERY |
		 OPTION_RECOVERY_FILE | OPTIONS_TPM,
	 cmd_format, "make a volume in the empty directory DIR"},
	{"open", "luksOpen", "DIR MOUNTPOINT", 2,
	 OPTIONS_KEY | OPTIONS_LEASE | OPTION_READ_ONLY | OPTION_MOUNT, cmd_open,
	 "unlock the volume in DIR and mount it"},
	{"close", "luksClose", "MOUNTPOINT", 1, 0, cmd_close,
	 "unmount; returns when everything is on disk"},
	{"status", NULL, "MOUNTPOINT", 1, OPTION_JSON, cmd_status,
	 "show the state of a mounted volume"},
	{"luksSuspend", NULL, "MOUNTPOINT", 1, OPTION_ALL, cmd_suspend,
	 "wipe the keys; I/O waits for luksResume"},
	{"luksResume", NULL, "MOUNTPOINT", 1, OPTIONS_KEY | OPTIONS_LEASE, cmd_resume,
	 "unlock a suspended volume"},
	{"luksAddKey", NULL, "DIR", 1,
	 OPTIONS_KEY | OPTION_NEW_KEY_FILE | OPTIONS_PBKDF | OPTION_ITER_TIME |
		 OPTIONS_TPM | OPTION_SLOT,
	 cmd_add_key, "make a further key slot, on this TPM or another"},
	{"luksKillSlot", NULL, "DIR SLOT", 2, OPTIONS_KEY, cmd_kill_slot,
	 "remove a key slot, asking for the passphrase of another"},
	{"token", NULL, "list", 1, OPTION_JSON, cmd_token, "show the HSM's TPMs"},
	{"isLuks", NULL, "DIR", 1, 0, cmd_is_volume, "exit with 0 if DIR is a volume"},
	{"luksDump", NULL, "DIR", 1, OPTION_JSON, cmd_dump, "show the volume header"},
	{"audit", NULL, "verify|show", 1, 0, cmd_audit,
	 "check or print the HSM's audit log"},
	{"luksUUID", NULL, "DIR", 1, 0, cmd_uuid, "print the volume's UUID"},
	{"benchmark", NULL, "", 0, OPTION_JSON, cmd_benchmark,
	 "measure the engines, passphrase stretching and the way through the HSM"},
};

enum { NR_COMMANDS = sizeof(commands) / sizeof(*commands) };

static const struct command *find_command(const char *name)
{
	for (int i = 0; i < NR_COMMANDS; i++) {
		const struct command *command = &commands[i];

		if (strcmp(name, command->name) == 0 ||
		    (command->alias && strcmp(name, command->alias) == 0))
			return command;
	}
	return NULL;
}

static int help(void)
{
	printf("Usage: hsmsetup COMMAND [OPTIONS] ARGUMENTS\n\nCommands:\n");
	for (int i = 0; i < NR_COMMANDS; i++) {
		char text[48];

		snprintf(text, sizeof(text), "%s %s", commands[i].name, commands[i].args);
		printf("  %-23s %s%s%s\n", text, commands[i].summary,
		       commands[i].alias ? "; also " : "",
		       commands[i].alias ? commands[i].alias : "");
	}
	printf("\nhsmsetup COMMAND --help lists a command's options; hsmsetup(8) has the "
	       "rest.\n");
	return 0;
}

static int help_command(const struct command *command)
{
	printf("Usage: hsmsetup %s [OPTIONS] %s\n%s\n\nOptions:\n", command->name,
	       command->args, command->summary);
	options_help(command->options | OPTIONS_ALL);
	return 0;
}

static int run_command(const struct command *command, int nr_args, char **args,
		       const struct options *options)
{
	int code;

	if (options->given & OPTION_HELP)
		return help_command(command);
	code = options_check(options, command->options | OPTIONS_ALL, command->name);
	if (code)
		return code;
	/* --all stands for the only argument */
	if (nr_args + !!(options->given & OPTION_ALL) != command->nr_args)
		return say_error(EXIT_INVALID, "Usage: hsmsetup %s [OPTIONS] %s",
				 command->name, command->args);
	for (int i = 0; i < nr_args; i++)
		if (!*args[i])
			return say_error(EXIT_INVALID,
					 "An argument of %s is empty; it wants %s.",
					 command->name, command->args);
	return command->run(args, options);
}

/* @name: the command when argv[0] says it, else NULL. */
static int run(int argc, char **argv, const char *name)
{
	const struct command *command;
	struct options options;
	int first, code = options_parse(argc, argv, &options, &first);

	if (code)
		return code;
	if (options.given & OPTION_VERSION) {
		printf("hsmsetup " HSMFS_VERSION "\n");
		return 0;
	}
	if (!name && first < argc)
		name = argv[first++];
	if (!name && options.given & OPTION_HELP)
		return help();
	if (!name)
		return say_error(EXIT_INVALID,
				 "Which command? hsmsetup --help lists them.");
	command = find_command(name);
	if (!command)
		return say_error(EXIT_INVALID,
				 "There is no command %s; hsmsetup --help lists them.",
				 name);
	return run_command(command, argc - first, argv + first, &options);
}

/*
 * A file opened as descriptor 1 or 2 would get what is printed. What stands in for a
 * closed one fails when it is used: a recovery key must not vanish in /dev/null.
 */
static int open_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return -EBADF;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc ? argv[0] : "hsmsetup";
	int code, rc = open_standard_streams();

	if (rc == 0)
		rc = secmem_harden_process();
	if (rc < 0)
		return say_error(EXIT_INVALID, "Cannot protect this process: %s.",
				 strerror(-rc));
	umask(077);
	/* who ignores it, as one can inherit, is not told how its children ended */
	signal(SIGCHLD, SIG_DFL);
	if (strcmp(name, "mount.hsmfs") == 0)
		return mount_helper(argc, argv);
	code = run(argc, argv, strcmp(name, "mkfs.hsmfs") == 0 ? "luksFormat" : NULL);
	if (fflush(stdout) != 0 && code == 0)
		code = say_error(EXIT_INVALID, "Cannot write the output: %s.",
				 strerror(errno));
	return code;
}
