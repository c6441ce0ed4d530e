/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/options.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/crew.h"
#include "fs/fs.h"

enum { POLL_MAX_US = 1000 };

/* The value of "name=value", NULL if @word is something else. */
static const char *value_of(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) || word[len] != '=' ? NULL : word + len + 1;
}

/* A plain number from @least to @most, or -1. */
static int number(const char *text, int least, int most)
{
	char *end;
	long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return *end || errno || n < least || n > most ? -1 : (int)n;
}

static int take_cache(struct fs *fs, const char *value, char *why, size_t why_len)
{
	static const char *const names[] = {[FS_CACHE_WRITEBACK] = "writeback",
					    [FS_CACHE_WRITETHROUGH] = "writethrough",
					    [FS_CACHE_NONE] = "none"};

	for (int i = 0; i < 3; i++) {
		if (!strcmp(value, names[i])) {
			fs->cache = (enum fs_cache)i;
			return 0;
		}
	}
	snprintf(why, why_len,
		 "the mount option cache=%s is not known; there are cache=writeback, "
		 "cache=writethrough and cache=none",
		 value);
	return -EINVAL;
}

static int take_poll(struct fs *fs, const char *value, char *why, size_t why_len)
{
	int us = strcmp(value, "off") ? number(value, 1, POLL_MAX_US) : 0;

	if (us < 0) {
		snprintf(why, why_len,
			 "the mount option poll=%s is not one; write microseconds, 1 to "
			 "%d, or poll=off",
			 value, POLL_MAX_US);
		return -EINVAL;
	}
	fs->poll_us = us;
	return 0;
}

static int take_workers(struct fs *fs, const char *value, char *why, size_t why_len)
{
	int nr = number(value, 1, CREW_MAX_SEATS);

	if (nr < 0) {
		snprintf(why, why_len,
			 "the mount option workers=%s is not a number from 1 to %d",
			 value, CREW_MAX_SEATS);
		return -EINVAL;
	}
	fs->workers = (unsigned)nr;
	return 0;
}

/*
 * By source and type hsmsetup knows what is mounted: without, it would neither suspend
 * such a volume nor resume it.
 */
static int refuse_name(const char *word, char *why, size_t why_len)
{
	snprintf(why, why_len,
		 "the mount option %s cannot be given: hsmsetup finds volumes by what it "
		 "changes",
		 word);
	return -EINVAL;
}

/* 1 if it was ours, 0 if it is FUSE's, or -EINVAL. */
static int take_word(struct fs *fs, const char *word, char *why, size_t why_len)
{
	const char *value;

	if (!strcmp(word, "sharedstorage"))
		fs->shared = true;
	else if (!strcmp(word, "acl"))
		fs->acl = true;
	else if (!strcmp(word, "direct_io"))
		fs->cache = FS_CACHE_NONE;
	else if ((value = value_of(word, "cache")))
		return take_cache(fs, value, why, why_len) ?: 1;
	else if ((value = value_of(word, "poll")))
		return take_poll(fs, value, why, why_len) ?: 1;
	else if ((value = value_of(word, "workers")))
		return take_workers(fs, value, why, why_len) ?: 1;
	else if (value_of(word, "fsname") || value_of(word, "subtype"))
		return refuse_name(word, why, why_len);
	else
		return 0;
	return 1;
}

/*
 * Each worker keeps its peer in the HSM busy as well. On two or three cores one is best:
 * more than that, and they take the cores from each other and from the clients.
 */
static unsigned default_workers(void)
{
	cpu_set_t cores;
	int nr = sched_getaffinity(0, sizeof(cores), &cores) ? CPU_SETSIZE
							     : CPU_COUNT(&cores);

	if (nr < 4)
		return 1;
	return nr / 2 < CREW_MAX_SEATS ? (unsigned)nr / 2 : CREW_MAX_SEATS;
}

int options_sort(const char *text, struct fs *fs, char **others, char *why,
		 size_t why_len)
{
	char *words = strdup(text ? text : ""), *word, *save;
	char *rest = calloc(1, (text ? strlen(text) : 0) + 2);
	int ret = words && rest ? 0 : -ENOMEM;

	fs->poll_us = FS_POLL_DEFAULT;
	fs->workers = default_workers();
	for (word = ret ? NULL : strtok_r(words, ",", &save); word && ret >= 0;
	     word = strtok_r(NULL, ",", &save)) {
		ret = take_word(fs, word, why, why_len);
		if (ret == 0)
			strcat(strcat(rest, ","), word);
	}
	if (fs->shared)
		fs->cache = FS_CACHE_NONE;
	free(words);
	if (ret < 0) {
		free(rest);
		return ret;
	}
	*others = rest;
	return 0;
}
