/* SPDX-License-Identifier: Apache-2.0 */
/* Mount options: which are ours, and what they say. The man page is mount.hsmfs(8). */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <stddef.h>

struct fs;

/*
 * Sets in @fs what the comma-separated @text (or NULL) says, and the defaults of what it
 * does not. *@others gets the options that are left for FUSE, each with a comma in front,
 * for the caller to free. -EINVAL with a sentence in @why, or -ENOMEM.
 */
int options_sort(const char *text, struct fs *fs, char **others, char *why,
		 size_t why_len);

#endif
