/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINKS = 40 };

/* --- /proc/self/mountinfo, see proc_pid_mountinfo(5) ------------------------------- */

static bool is_octal(const char *digits)
{
	return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' &&
	       digits[1] <= '7' && digits[2] >= '0' && digits[2] <= '7';
}

/* Blanks and backslashes are written as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (*from == '\\' && is_octal(from + 1)) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 |
				       (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/*
 * ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS
 * DEVICE is MAJOR:MINOR, and 0:N for what has no device, as FUSE's connection N.
 * The mount point, within @line, or NULL.
 */
static const char *parse_line(char *line, struct mount_entry *entry)
{
	char *separator = strstr(line, " - ");
	char *mountpoint, *type, *source, *save;

	if (!separator)
		return NULL;
	*separator = '\0';
	entry->connection = 0;
	sscanf(line, "%*u %*u 0:%u ", &entry->connection);
	mountpoint = strtok_r(line, " ", &save);
	for (int field = 1; mountpoint && field < 5; field++)
		mountpoint = strtok_r(NULL, " ", &save);
	type = strtok_r(separator + 3, " ", &save);
	source = strtok_r(NULL, " ", &save);
	if (!mountpoint || !type || !source)
		return NULL;
	unescape(mountpoint);
	unescape(source);
	entry->is_hsmfs = strcmp(type, "fuse.hsmfs") == 0;
	snprintf(entry->source, sizeof(entry->source), "%s", source);
	return mountpoint;
}

int mounts_visit(void (*visit)(const char *path, const struct mount_entry *entry,
			       void *arg),
		 void *arg)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int rc;

	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0) {
		struct mount_entry entry;
		const char *path = parse_line(line, &entry);

		if (path)
			visit(path, &entry, arg);
	}
	rc = ferror(file) ? -EIO : 0;
	free(line);
	fclose(file);
	return rc;
}

struct search {
	const char *path;
	struct mount_entry *entry;
	int found;
};

/* The last of several on one path lies on top. */
static void compare(const char *path, const struct mount_entry *entry, void *arg)
{
	struct search *search = arg;

	if (strcmp(path, search->path) != 0)
		return;
	*search->entry = *entry;
	search->found = 1;
}

int mounts_find(const char *path, struct mount_entry *entry)
{
	struct search search = {path, entry, 0};
	int rc = mounts_visit(compare, &search);

	return rc < 0 ? rc : search.found;
}

/* --- paths ----------------------------------------------------------------------- */

/* Splits off the last component; NULL when it is not a plain name ("/", ".", ".."). */
static const char *split(char *path)
{
	size_t len = strlen(path);
	char *slash;

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = strrchr(path, '/');
	if (!slash || slash[1] == '\0' || strcmp(slash + 1, ".") == 0 ||
	    strcmp(slash + 1, "..") == 0)
		return NULL;
	*slash = '\0';
	return slash + 1;
}

static int resolve_whole(const char *path, char out[PATH_MAX])
{
	return realpath(path, out) ? 0 : -errno;
}

static int join(char out[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/*
 * One step: @path (absolute or below @base) with its directory resolved. 1 when the last
 * component is a symlink, whose target is then in @path and directory in @base.
 */
static int resolve_step(char path[PATH_MAX], char base[PATH_MAX], char out[PATH_MAX])
{
	struct mount_entry entry;
	char whole[PATH_MAX];
	const char *name;
	ssize_t n;
	int rc = *path == '/' ? snprintf(whole, sizeof(whole), "%s", path) >= PATH_MAX
			      : join(whole, base, path);

	if (rc)
		return -ENAMETOOLONG;
	name = split(whole);
	if (!name)
		return resolve_whole(whole, out);
	rc = resolve_whole(*whole ? whole : "/", base);
	if (rc == 0)
		rc = join(out, base, name);
	if (rc == 0)
		rc = mounts_find(out, &entry);
	if (rc)
		return rc < 0 ? rc : 0;
	n = readlink(out, path, PATH_MAX - 1);
	if (n < 0)
		return errno == EINVAL ? 0 : -errno;
	path[n] = '\0';
	return n ? 1 : -ENOENT;
}

int mounts_resolve(const char *path, char out[PATH_MAX])
{
	char next[PATH_MAX], base[PATH_MAX];
	int rc = 1;

	if (!*path)
		return -ENOENT;
	if (snprintf(next, sizeof(next), "%s", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!getcwd(base, sizeof(base)))
		return -errno;
	for (int i = 0; i < MAX_LINKS && rc == 1; i++)
		rc = resolve_step(next, base, out);
	return rc == 1 ? -ELOOP : rc;
}

bool mounts_contains(const char *outer, const char *inner)
{
	size_t len = strlen(outer);

	if (strcmp(outer, "/") == 0)
		return true;
	return strncmp(outer, inner, len) == 0 && (inner[len] == '/' || !inner[len]);
}
