/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/busy.h"

#include <stdio.h>
#include <string.h>

#include "mkfs/mounts.h"
#include "mkfs/say.h"

struct search {
	const char *directory;
	char mountpoint[PATH_MAX]; /* empty: none was found */
};

static void compare(const char *path, const struct mount_entry *entry, void *arg)
{
	struct search *search = arg;

	if (entry->is_hsmfs && strcmp(entry->source, search->directory) == 0)
		snprintf(search->mountpoint, sizeof(search->mountpoint), "%s", path);
}

int busy_refuse(const char *directory)
{
	struct search search = {.directory = directory};

	if (mounts_visit(compare, &search) == 0 && *search.mountpoint)
		return say_error(EXIT_BUSY,
				 "The volume %s is mounted already, on %s; hsmsetup "
				 "close %s unmounts it.",
				 directory, search.mountpoint, search.mountpoint);
	return say_error(
		EXIT_BUSY,
		"The volume %s is mounted already, by another machine or where it "
		"cannot be seen from here: close that mount first; or another hsmsetup "
		"is at work on it: wait for that.",
		directory);
}
