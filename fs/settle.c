/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/pages.h"
#include "fs/volume/name.h"
#include "fs/worker.h"

enum { CLOCK_SLACK_S = 3600 }; /* the backing store may have a clock of its own */

struct pass {
	struct worker w;
	int64_t since;
	int error; /* the first */
};

/* Nobody can resume a volume that is not served yet: do not wait for that. */
static bool link_gone(void *link)
{
	return !link_epoch(link);
}

static void note_error(struct pass *pass, int error)
{
	if (!pass->error)
		pass->error = error;
}

/*
 * A file made read-only is written all the same by who made it (git's objects are such):
 * as its owner we lend ourselves the right to for a moment.
 */
static int open_unwritable(int dirfd, const char *entry, mode_t mode)
{
	int path = openat(dirfd, entry, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char proc[32];
	int fd = -1;

	if (path < 0)
		return -1;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path);
	if (!chmod(proc, (mode & 07777) | 0600)) {
		fd = open(proc, O_RDWR | O_CLOEXEC);
		if (chmod(proc, mode & 07777) && fd >= 0) {
			close(fd);
			fd = -1;
		}
	}
	close(path);
	return fd;
}

static void settle_file(struct pass *pass, int dirfd, const char *entry,
			const struct stat *st)
{
	struct file file;
	int ret;

	file_init(&file);
	file.fd = openat(dirfd, entry, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (file.fd < 0 && errno == EACCES)
		file.fd = open_unwritable(dirfd, entry, st->st_mode);
	if (file.fd < 0) {
		ret = -errno;
	} else {
		file.backing_size = (uint64_t)st->st_size;
		pass->w.request = pass->w.fs->link;
		pass->w.interrupted = link_gone;
		ret = pages_settle(&pass->w, &file);
	}
	if (ret == -EIO || ret == -EFBIG)
		log_warn("the last page of inode %llu is damaged",
			 (unsigned long long)st->st_ino);
	else if (ret)
		note_error(pass, ret);
	file_fini(&file);
}

/* A subdirectory that is still to be looked at. */
struct pending {
	struct pending *next;
	char name[];
};

/* A directory on the way down. A tree may be deeper than there are descriptors. */
struct level {
	struct level *up;
	struct pending *pending;
	dev_t dev;
	ino_t ino;
};

static void settle_entry(struct pass *pass, struct level *level, int dirfd,
			 const char *entry)
{
	size_t len = strlen(entry) + 1;
	struct pending *pending;
	struct stat st;

	if (fstatat(dirfd, entry, &st, AT_SYMLINK_NOFOLLOW)) {
		note_error(pass, -errno);
		return;
	}
	if (S_ISREG(st.st_mode) && st.st_size &&
	    st.st_ctime >= pass->since - CLOCK_SLACK_S)
		settle_file(pass, dirfd, entry, &st);
	if (!S_ISDIR(st.st_mode))
		return;
	pending = malloc(sizeof(*pending) + len);
	if (!pending) {
		note_error(pass, -ENOMEM);
		return;
	}
	memcpy(pending->name, entry, len);
	pending->next = level->pending;
	level->pending = pending;
}

/* Settles the files in directory @fd. Whatever is not a file's entry is left alone. */
static void settle_files(struct pass *pass, struct level *level, int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!dir) {
		note_error(pass, -errno);
		if (own >= 0)
			close(own);
		return;
	}
	while (pass->error != -EINTR && (errno = 0, entry = readdir(dir))) {
		enum name_kind kind = name_classify(entry->d_name);

		if (kind == NAME_SHORT || kind == NAME_LONG)
			settle_entry(pass, level, fd, entry->d_name);
	}
	if (errno)
		note_error(pass, -errno);
	closedir(dir);
}

/* Enters directory @fd, settling its files. NULL when out of memory. */
static struct level *enter(struct pass *pass, struct level *up, int fd)
{
	struct level *level = calloc(1, sizeof(*level));
	struct stat st;

	if (!level || fstat(fd, &st)) {
		note_error(pass, -errno);
		free(level);
		return NULL;
	}
	level->up = up;
	level->dev = st.st_dev;
	level->ino = st.st_ino;
	settle_files(pass, level, fd);
	return level;
}

/* A descriptor of the level above @fd, which it closes; -1 when that has moved. */
static int go_up(struct pass *pass, const struct level *up, int fd)
{
	int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	close(fd);
	if (parent >= 0 && !fstat(parent, &st) && st.st_dev == up->dev &&
	    st.st_ino == up->ino)
		return parent;
	note_error(pass, parent < 0 ? -errno : -ESTALE);
	if (parent >= 0)
		close(parent);
	return -1;
}

/* Takes the next subdirectory of @level. Its descriptor, -1 when it cannot be entered. */
static int open_pending(struct pass *pass, struct level *level, int dirfd)
{
	struct pending *pending = level->pending;
	int fd = openat(dirfd, pending->name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno != EACCES)
		note_error(pass, -errno);
	level->pending = pending->next;
	free(pending);
	return fd;
}

/* The tree below @fd, which it closes. */
static void settle_tree(struct pass *pass, int fd)
{
	struct level *level = enter(pass, NULL, fd);

	while (level) {
		struct level *up = level->up;

		if (level->pending && fd >= 0) {
			int sub = open_pending(pass, level, fd);
			struct level *below = sub < 0 ? NULL : enter(pass, level, sub);

			if (below) {
				close(fd);
				fd = sub;
				level = below;
			} else if (sub >= 0) {
				close(sub);
			}
			continue;
		}
		if (up && fd >= 0)
			fd = go_up(pass, up, fd);
		while (level->pending) { /* out of reach */
			struct pending *pending = level->pending;

			level->pending = pending->next;
			free(pending);
		}
		free(level);
		level = up;
	}
	if (fd >= 0)
		close(fd);
}

int settle_volume(struct fs *fs, int64_t since)
{
	struct pass pass = {.w = {.fs = fs}, .since = since};
	int fd, ret;

	/* a clock that was ahead says nothing */
	if (since > time(NULL))
		pass.since = 0;
	fd = openat(fs->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = engine_init(&pass.w.engine);
	if (ret) {
		close(fd);
		return ret;
	}
	pass.w.slot = engine_slot_take(&pass.w.engine);
	settle_tree(&pass, fd);
	engine_fini(&pass.w.engine);
	return pass.error;
}
