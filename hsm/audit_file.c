/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "hsm/api/auditlog.h"
#include "hsm/audit_file.h"

enum {
	FULL_BYTES = 4 * 1024 * 1024,
	LONGER_BYTES = 256 * 1024, /* when it could not be put aside */
};

/* What the next file begins as. */
#define NEXT_FILE "audit.next"

static int digest(const void *text, size_t len, uint8_t out[AUDIT_DIGEST_BYTES])
{
	return EVP_Digest(text, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

/*
 * One write(), so that a crash can cut the last line but not mix two. What a failed one
 * may have left is a line that was cut off.
 */
static int write_line(int fd, const char *line, size_t len)
{
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n;
	int ret;

	if (end < 0)
		return -errno;
	n = write(fd, line, len);
	if (n == (ssize_t)len)
		return 0;
	ret = n < 0 ? -errno : -ENOSPC;
	if (ftruncate(fd, end))
		syslog(LOG_ERR, "the audit log ends in half a line");
	return ret;
}

int audit_file_append(struct audit_file *file, const char *line, size_t len, bool sync)
{
	uint8_t next[AUDIT_DIGEST_BYTES];
	int ret = digest(line, len - 1, next);

	if (!ret)
		ret = write_line(file->fd, line, len);
	if (ret)
		return ret;
	memcpy(file->chain, next, sizeof(next));
	return sync && fdatasync(file->fd) ? -errno : 0;
}

/* --- going on with a log ------------------------------------------------------------ */

/*
 * The chain's value after the last line. A line without its newline was cut off by a
 * crash: it gets one, and the next line says so. A line longer than any of ours is hashed
 * from its last AUDIT_LINE_MAX bytes on, which no verifier accepts: nor is it one of
 * ours.
 */
static int find_end(struct audit_file *file, bool *torn)
{
	char tail[2 * AUDIT_LINE_MAX];
	off_t size = lseek(file->fd, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(tail) ? size - (off_t)sizeof(tail) : 0;
	const char *start;
	ssize_t n;

	*torn = false;
	if (size <= 0)
		return size < 0 ? -errno : 0;
	n = pread(file->fd, tail, (size_t)(size - from), from);
	if (n != size - from)
		return n < 0 ? -errno : -EIO;
	*torn = tail[n - 1] != '\n';
	if (*torn && write(file->fd, "\n", 1) != 1)
		return -errno;
	n -= !*torn;
	start = memrchr(tail, '\n', (size_t)n);
	start = start ? start + 1 : tail;
	return digest(start, (size_t)(tail + n - start), file->chain);
}

/* A locked descriptor or -errno. */
static int open_locked(int dir, const char *name, int flags)
{
	struct stat st;
	int fd = openat(dir, name,
			flags | O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				O_NONBLOCK,
			0600);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		ret = -EPERM;
	else if (flock(fd, LOCK_EX | LOCK_NB))
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static bool is_named(int dir, const char *name, int fd)
{
	struct stat named, opened;

	return !fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) && !fstat(fd, &opened) &&
	       named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* What was the log when it was opened may have been put aside by the time it is locked.
 */
static int open_current(int dir)
{
	int fd = open_locked(dir, AUDITLOG_FILE, 0);

	if (fd < 0 || is_named(dir, AUDITLOG_FILE, fd))
		return fd;
	close(fd);
	return -EBUSY;
}

static int find_last_old(int dir, unsigned *nr_old)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	*nr_old = 0;
	if (!stream) {
		int ret = -errno;

		if (fd >= 0)
			close(fd);
		return ret;
	}
	while ((entry = readdir(stream)))
		if (auditlog_number(entry->d_name) > *nr_old)
			*nr_old = auditlog_number(entry->d_name);
	closedir(stream);
	return 0;
}

static bool exists(int dir, const char *name)
{
	struct stat st;

	return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
}

/*
 * A store without hard links leaves the log with its other name alone when it is not put
 * aside to the end. It gets its own back, as there may be more in it than what the file
 * that was to be the next follows.
 */
static int take_back(int dir, unsigned *nr_old)
{
	char name[AUDITLOG_NAME_BYTES];
	int fd, ret;

	if (!*nr_old || exists(dir, AUDITLOG_FILE) || !exists(dir, NEXT_FILE))
		return 0;
	auditlog_name(*nr_old, name);
	fd = open_locked(dir, name, 0);
	if (fd < 0)
		return fd;
	ret = renameat(dir, name, dir, AUDITLOG_FILE) ? -errno : 0;
	if (!ret)
		--*nr_old;
	close(fd);
	return ret;
}

int audit_file_init(struct audit_file *file, const char *state_dir, bool *torn)
{
	char name[AUDITLOG_NAME_BYTES];
	int ret;

	memset(file, 0, sizeof(*file));
	file->full_at = FULL_BYTES;
	file->fd = -1;
	file->dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->dir < 0)
		return -errno;
	ret = find_last_old(file->dir, &file->nr_old);
	if (!ret)
		ret = take_back(file->dir, &file->nr_old);
	if (!ret)
		ret = file->fd = open_current(file->dir);
	if (ret >= 0)
		ret = find_end(file, torn);
	if (ret)
		return ret;
	/* a crash while it was being put aside has left it with both names */
	auditlog_name(file->nr_old, name);
	if (file->nr_old && is_named(file->dir, name, file->fd))
		file->nr_old--;
	return 0;
}

void audit_file_fini(struct audit_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->dir >= 0)
		close(file->dir);
	file->fd = file->dir = -1;
}

/* --- putting it aside --------------------------------------------------------------- */

bool audit_file_is_full(const struct audit_file *file)
{
	return lseek(file->fd, 0, SEEK_END) >= file->full_at;
}

static bool has_no_links(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == ENOSYS ||
	       error == EMLINK || error == EINVAL;
}

/*
 * The log keeps its own name until another file takes that over; where a file has one
 * name only, take_back() gives it back should that not come. Each step on disk before the
 * next: what follows would replace it. 0 or -errno.
 */
static int add_old_name(const struct audit_file *file, const char *name)
{
	if (is_named(file->dir, name, file->fd) ||
	    !linkat(file->dir, AUDITLOG_FILE, file->dir, name, 0))
		return 0;
	if (!has_no_links(errno))
		return -errno;
	if (exists(file->dir, name)) /* nobody else makes one: the log is locked */
		return -EEXIST;
	if (fsync(file->dir) || renameat(file->dir, AUDITLOG_FILE, file->dir, name) ||
	    fsync(file->dir))
		return -errno;
	return 0;
}

/* It goes on being the log; with its other name, if it must. */
static void drop_old_name(const struct audit_file *file, const char *name)
{
	if (!exists(file->dir, AUDITLOG_FILE) && is_named(file->dir, name, file->fd) &&
	    renameat(file->dir, name, file->dir, AUDITLOG_FILE))
		syslog(LOG_ERR, "the audit log is %s: %s", name, strerror(errno));
}

/* With its first line, so that there never is one without. A descriptor or -errno. */
static int make_next(int dir, const char *line, size_t len)
{
	int fd = open_locked(dir, NEXT_FILE, O_TRUNC);
	int ret = fd < 0 ? fd : write_line(fd, line, len);

	if (!ret && fdatasync(fd))
		ret = -errno;
	if (ret < 0 && fd >= 0)
		close(fd);
	return ret < 0 ? ret : fd;
}

static int replace(struct audit_file *file, const char *line, size_t len)
{
	char name[AUDITLOG_NAME_BYTES];
	int ret = fdatasync(file->fd) ? -errno : 0;
	int fd = ret ? ret : make_next(file->dir, line, len);

	if (fd < 0)
		return fd;
	auditlog_name(file->nr_old + 1, name);
	ret = add_old_name(file, name);
	if (!ret && renameat(file->dir, NEXT_FILE, file->dir, AUDITLOG_FILE))
		ret = -errno;
	if (ret) {
		drop_old_name(file, name);
		close(fd);
		return ret;
	}
	close(file->fd);
	file->fd = fd;
	file->nr_old++;
	return 0;
}

static bool has_old(int dir, unsigned number)
{
	char name[AUDITLOG_NAME_BYTES];

	auditlog_name(number, name);
	return exists(dir, name);
}

/*
 * The oldest first, so that there never is a gap. There can be several: this may have
 * been cut short the last time.
 */
static void remove_too_old(const struct audit_file *file)
{
	unsigned end =
		file->nr_old > AUDITLOG_KEPT ? file->nr_old - AUDITLOG_KEPT + 1 : 1;
	unsigned number = end;
	int ret = 0;

	while (number > 1 && has_old(file->dir, number - 1))
		number--;
	for (; number < end && !ret; number++) {
		char name[AUDITLOG_NAME_BYTES];

		auditlog_name(number, name);
		ret = unlinkat(file->dir, name, 0);
		if (ret)
			syslog(LOG_ERR, "audit log: %s: %s", name, strerror(errno));
	}
}

int audit_file_rotate(struct audit_file *file, const char *line, size_t len)
{
	uint8_t next[AUDIT_DIGEST_BYTES];
	int ret = digest(line, len - 1, next);

	if (!ret)
		ret = replace(file, line, len);
	if (ret) {
		file->full_at = lseek(file->fd, 0, SEEK_END) + LONGER_BYTES;
		return ret;
	}
	memcpy(file->chain, next, sizeof(next));
	file->full_at = FULL_BYTES;
	remove_too_old(file);
	if (fsync(file->dir))
		syslog(LOG_ERR, "audit log: %s", strerror(errno));
	return 0;
}
