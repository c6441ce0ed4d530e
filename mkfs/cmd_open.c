/* SPDX-License-Identifier: Apache-2.0 */
/* open: unlock a volume and mount it. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "mkfs/cmd.h"
#include "mkfs/launch.h"
#include "mkfs/mount_options.h"
#include "mkfs/mounts.h"
#include "mkfs/open.h"
#include "mkfs/options.h"
#include "mkfs/say.h"
#include "mkfs/volume.h"

static int check_overlap(const char *dir, const char *mountpoint)
{
	if (strcmp(dir, mountpoint) == 0)
		return say_error(EXIT_INVALID,
				 "%s cannot be mounted on itself; choose another mount "
				 "point.",
				 dir);
	if (mounts_contains(dir, mountpoint))
		return say_error(
			EXIT_INVALID,
			"The mount point %s is inside the volume's directory %s; "
			"choose one outside.",
			mountpoint, dir);
	if (mounts_contains(mountpoint, dir))
		return say_error(
			EXIT_INVALID,
			"The mount point %s would hide the volume's directory %s; "
			"choose another one.",
			mountpoint, dir);
	return 0;
}

/* 1 when @dir has entries, 0 when not, -errno. */
static int has_entries(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	int rc = 0;

	if (!dir)
		return -errno;
	while (rc == 0 && (entry = readdir(dir)))
		rc = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return rc;
}

static int check_mountpoint(const char *path, bool nonempty)
{
	struct mount_entry entry;
	int rc = mounts_find(path, &entry);

	if (rc == 1 && entry.is_hsmfs)
		return say_error(EXIT_BUSY,
				 "%s is mounted already; hsmsetup close %s unmounts it.",
				 path, path);
	if (rc >= 0)
		rc = has_entries(path);
	if (rc < 0)
		return say_error(say_code(rc), "Cannot mount on %s: %s.", path,
				 strerror(-rc));
	if (rc == 1 && !nonempty)
		return say_error(
			EXIT_BUSY,
			"The mount point %s is not empty; choose an empty directory "
			"or hide its files with -o nonempty.",
			path);
	return 0;
}

/* A look only: hsmfs takes the lock, and reports a race that it lost the same way. */
static int check_unused(struct volume *volume, bool shared)
{
	int code = volume_lock(volume, shared);

	if (code == 0)
		close(volume->lock);
	volume->lock = 0;
	return code;
}

static int check_all(struct volume *volume, const char *mountpoint,
		     const struct mount_options *words, char resolved[PATH_MAX])
{
	int rc = mounts_resolve(mountpoint, resolved);
	int code;

	if (rc == -ENOENT)
		return say_error(EXIT_PATH,
				 "There is no directory %s to mount on; make it first.",
				 mountpoint);
	if (rc < 0)
		return say_error(say_code(rc), "Cannot mount on %s: %s.", mountpoint,
				 strerror(-rc));
	code = check_overlap(volume->path, resolved);
	if (code == 0)
		code = check_mountpoint(resolved, words->nonempty);
	return code ? code : check_unused(volume, words->shared);
}

static int unlock_and_mount(struct volume *volume, const char *mountpoint,
			    const char *passed, const struct options *options)
{
	int read_only = (options->given & OPTION_READ_ONLY) != 0;
	uint8_t *ticket = secmem_alloc(WIRE_TICKET_BYTES);
	int code;

	if (!ticket)
		return say_error(EXIT_MEMORY, "No memory that can be locked is left; see "
					      "ulimit -l.");
	code = volume_unlock(volume, &options->key);
	if (code == 0)
		code = volume_ticket(volume, read_only, options, ticket);
	if (code == 0)
		code = launch_hsmfs(volume->path, mountpoint, passed, read_only, ticket);
	secmem_free(ticket);
	return code;
}

int open_run(const char *dir, const char *mountpoint, const struct options *given,
	     bool dry_run)
{
	struct options options = *given;
	struct mount_options words;
	struct volume volume = {.dirfd = -1};
	char resolved[PATH_MAX];
	int code = mount_options_parse(given->mount_options, &options, &words);

	/* A flag wins over a word. */
	options.given |= given->given & OPTION_READ_ONLY;
	if (code == 0)
		code = volume_open(dir, &volume);
	if (code == 0)
		code = check_all(&volume, mountpoint, &words, resolved);
	if (code == 0 && !dry_run)
		code = unlock_and_mount(&volume, resolved, words.passed, &options);
	volume_close(&volume);
	mount_options_fini(&words);
	return code;
}

int cmd_open(char *const args[], const struct options *options)
{
	return open_run(args[0], args[1], options, false);
}
