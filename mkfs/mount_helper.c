/* SPDX-License-Identifier: Apache-2.0 */
/* mount.hsmfs: what mount(8) runs for the type hsmfs; see its "External helpers". */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mkfs/cmd.h"
#include "mkfs/open.h"
#include "mkfs/options.h"
#include "mkfs/say.h"

/* mount(8)'s exit codes */
enum {
	MOUNT_USAGE = 1,  /* incorrect invocation or permissions */
	MOUNT_SYSTEM = 2, /* out of memory and the like */
	MOUNT_FAILED = 32,
};

struct invocation {
	bool fake;
	bool verbose;
	struct options options;
};

static int add_words(struct invocation *call, const char *words)
{
	if (options_add_mount(&call->options, words) == 0)
		return 0;
	return say_error(MOUNT_USAGE, "The mount options are too long.");
}

static int say_usage(void)
{
	return say_error(MOUNT_USAGE,
			 "Usage: mount.hsmfs [-fnrsvw] [-o OPTIONS] DIR MOUNTPOINT");
}

static int parse(int argc, char *argv[], struct invocation *call)
{
	int letter;

	while ((letter = getopt(argc, argv, "fnrsvwo:t:")) != -1) {
		int code = 0;

		switch (letter) {
		case 'f':
			call->fake = true;
			break;
		case 'v':
			call->verbose = true;
			break;
		case 'r':
			code = add_words(call, "ro");
			break;
		case 'w':
			code = add_words(call, "rw");
			break;
		case 'o':
			code = add_words(call, optarg);
			break;
		case 'n': /* there is no mtab to write */
		case 's': /* hsmfs decides which options it knows */
		case 't': /* the type, which our name says */
			break;
		default:
			return say_usage();
		}
		if (code)
			return code;
	}
	return argc - optind == 2 ? 0 : say_usage();
}

static int mount_code(int code)
{
	switch (code) {
	case 0:
		return 0;
	case EXIT_MEMORY:
		return MOUNT_SYSTEM;
	default:
		return MOUNT_FAILED;
	}
}

int mount_helper(int argc, char *argv[])
{
	static struct invocation call;
	int code;

	opterr = 0;
	code = parse(argc, argv, &call);
	if (code)
		return code;
	code = mount_code(
		open_run(argv[optind], argv[optind + 1], &call.options, call.fake));
	if (code == 0 && call.verbose)
		printf("mount.hsmfs: %s mounted on %s.\n", argv[optind],
		       argv[optind + 1]);
	return code;
}
