/* SPDX-License-Identifier: Apache-2.0 */
/* The words of -o: some are mount(8)'s or fstab's alone, some ours, the rest hsmfs's. */
#ifndef MKFS_MOUNT_OPTIONS_H
#define MKFS_MOUNT_OPTIONS_H

#include <stdbool.h>

struct options;

struct mount_options {
	char *words;  /* what options.key.key_file may point into */
	char *passed; /* for hsmfs */
	bool nonempty;
	bool shared; /* sharedstorage, which is passed as well */
};

/*
 * Sorts @text: ro, keyfile=, lease= and idle= go to @options. 0 or an exit
 * code, having said why; to be ended by mount_options_fini() either way.
 */
int mount_options_parse(const char *text, struct options *options,
			struct mount_options *out);

void mount_options_fini(struct mount_options *out);

#endif
