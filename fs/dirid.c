/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/dirid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/log.h"
#include "fs/sealer.h"
#include "fs/volume/name.h"
#include "fs/worker.h"

enum {
	SEALED_BYTES = PAGE_ID_BYTES + NAME_BLOB_OVERHEAD,
	TEXT_BYTES = SEALED_BYTES * 4 / 3 + 2,
};

static bool cached_id(struct inode *dir, uint8_t id[PAGE_ID_BYTES])
{
	bool has_id;

	pthread_mutex_lock(&dir->lock);
	has_id = dir->dir.has_id;
	if (has_id)
		memcpy(id, dir->dir.id, PAGE_ID_BYTES);
	pthread_mutex_unlock(&dir->lock);
	return has_id;
}

bool dirid_is_current(struct inode *dir, const uint8_t id[PAGE_ID_BYTES], bool locked)
{
	bool same;

	if (!locked)
		pthread_mutex_lock(&dir->lock);
	same = dir->dir.has_id && !memcmp(dir->dir.id, id, PAGE_ID_BYTES);
	if (!locked)
		pthread_mutex_unlock(&dir->lock);
	return same;
}

/* Reported once for each directory, or a log could be filled by looking. */
static int damaged(struct inode *dir, const char *what)
{
	if (!__atomic_exchange_n(&dir->dir.warned, true, __ATOMIC_RELAXED))
		log_warn("directory %llu of the volume: %s", (unsigned long long)dir->ino,
			 what);
	return -EIO;
}

static int read_text(struct fs *fs, struct inode *dir, char text[TEXT_BYTES])
{
	ssize_t len;
	int fd, ret = 0;

	pthread_rwlock_rdlock(&fs->tree);
	fd = inode_borrow(fs, dir);
	if (fd < 0) {
		ret = fd;
		goto out;
	}
	len = readlinkat(fd, NAME_DIR_ID, text, TEXT_BYTES);
	if (len < 0)
		ret = errno == EINVAL ? damaged(dir, "its id is no symlink") : -errno;
	else if (len == TEXT_BYTES)
		ret = damaged(dir, "its id is too long");
	else
		text[len] = '\0';
	inode_return(fs, dir);
out:
	pthread_rwlock_unlock(&fs->tree);
	return ret;
}

int dirid_get(struct worker *w, struct inode *dir, uint8_t id[PAGE_ID_BYTES])
{
	uint8_t sealed[SEALED_BYTES], opened[SEALED_BYTES];
	struct sealer_item item = {.in = sealed, .in_len = SEALED_BYTES, .out = opened};
	char text[TEXT_BYTES];
	int ret;

	/* with others on the volume, another directory may have got this inode's number
	 */
	if (!worker_fs(w)->shared && cached_id(dir, id))
		return 0;
	ret = read_text(worker_fs(w), dir, text);
	if (ret)
		return ret;
	if (name_base64_decode(text, sealed, sizeof(sealed)) != SEALED_BYTES)
		return damaged(dir, "its id is malformed");
	ret = sealer_run(w, RING_BLOB_OPEN, SEALER_DIR_ID, &item, 1);
	if (ret)
		return ret;
	if (item.status || item.out_len != PAGE_ID_BYTES)
		return damaged(dir, "its id does not verify");
	pthread_mutex_lock(&dir->lock);
	if (!dir->dir.has_id || worker_fs(w)->shared) {
		memcpy(dir->dir.id, opened, PAGE_ID_BYTES);
		dir->dir.has_id = true;
	}
	memcpy(id, dir->dir.id, PAGE_ID_BYTES);
	pthread_mutex_unlock(&dir->lock);
	return 0;
}

/* What a scan of a backing directory has met. */
struct content {
	bool names;  /* entries that stand for files */
	bool aliens; /* entries that are not ours */
};

static void note_entry(struct content *content, const char *entry)
{
	switch (name_classify(entry)) {
	case NAME_SHORT:
	case NAME_LONG:
		content->names = true;
		break;
	case NAME_ALIEN:
		content->aliens =
			content->aliens || (strcmp(entry, ".") && strcmp(entry, ".."));
		break;
	case NAME_OURS:
		break;
	}
}

/* Looks through the directory (@dirfd, @name). */
static int scan(int dirfd, const char *name, bool remove_strays, struct content *content)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		ret = -errno;
		close(fd);
		return ret;
	}
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			ret = -errno;
			break;
		}
		note_entry(content, entry->d_name);
		if (remove_strays && name_is_side(entry->d_name) &&
		    unlinkat(fd, entry->d_name, 0)) {
			ret = -errno;
			break;
		}
	}
	closedir(dir);
	return ret;
}

/* Makes a sealed id's text. */
static int draw_id(struct worker *w, uint8_t id[PAGE_ID_BYTES], char text[TEXT_BYTES])
{
	uint8_t sealed[SEALED_BYTES];
	struct sealer_item item = {.in = id, .in_len = PAGE_ID_BYTES, .out = sealed};
	int ret;

	if (getrandom(id, PAGE_ID_BYTES, 0) != PAGE_ID_BYTES)
		return -EIO;
	ret = sealer_run(w, RING_BLOB_SEAL, SEALER_DIR_ID, &item, 1);
	if (ret)
		return ret;
	if (item.status || item.out_len != SEALED_BYTES)
		return -EIO;
	name_base64_encode(sealed, SEALED_BYTES, text);
	return 0;
}

/* Gives @dir the id; dir->lock and the tree are held. -EEXIST: it has got one meanwhile.
 */
static int store_id(const struct fs *fs, struct inode *dir, int fd,
		    const uint8_t id[PAGE_ID_BYTES], const char *text)
{
	struct content content = {0};
	int ret;

	if (dir->dir.has_id && !fs->shared)
		return -EEXIST;
	ret = scan(fd, ".", false, &content);
	/* Who may write but not read a directory could not see its children anyway. */
	if (ret && ret != -EACCES)
		return ret;
	/* Another machine that shares the store may have made it. */
	if (content.names && !faccessat(fd, NAME_DIR_ID, F_OK, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	if (content.names)
		return damaged(dir, "its id was removed");
	if (symlinkat(text, fd, NAME_DIR_ID))
		return -errno;
	memcpy(dir->dir.id, id, PAGE_ID_BYTES);
	dir->dir.has_id = true;
	return 0;
}

int dirid_make(struct worker *w, struct inode *dir, uint8_t id[PAGE_ID_BYTES])
{
	struct fs *fs = worker_fs(w);
	uint8_t drawn[PAGE_ID_BYTES];
	char text[TEXT_BYTES];
	int ret, fd;

	do {
		ret = dirid_get(w, dir, id);
		if (ret != -ENOENT)
			return ret;
		ret = draw_id(w, drawn, text);
		if (ret)
			return ret;
		pthread_rwlock_rdlock(&fs->tree);
		fd = inode_borrow(fs, dir);
		if (fd >= 0) {
			pthread_mutex_lock(&dir->lock);
			ret = store_id(fs, dir, fd, drawn, text);
			pthread_mutex_unlock(&dir->lock);
			inode_return(fs, dir);
		} else {
			ret = fd;
		}
		pthread_rwlock_unlock(&fs->tree);
	} while (ret == -EEXIST);
	if (!ret)
		memcpy(id, drawn, PAGE_ID_BYTES);
	return ret;
}

/* Lets the owner look into and write to a directory that is to be removed. */
static int open_up(int dirfd, const char *name, struct dirid_saved *saved)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if ((st.st_mode & S_IRWXU) == S_IRWXU || st.st_uid != geteuid())
		return 0;
	saved->mode = st.st_mode & 07777;
	if (fchmodat(dirfd, name, saved->mode | S_IRWXU, AT_SYMLINK_NOFOLLOW))
		return -errno;
	saved->changed_mode = true;
	return 0;
}

static int remove_id(int dirfd, const char *name, struct dirid_saved *saved)
{
	int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret = 0;
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = readlinkat(fd, NAME_DIR_ID, saved->target, sizeof(saved->target) - 1);
	if (len < 0) {
		ret = errno == ENOENT ? 0 : -errno;
	} else {
		saved->target[len] = '\0';
		if (unlinkat(fd, NAME_DIR_ID, 0)) {
			ret = -errno;
			saved->target[0] = '\0';
		}
	}
	close(fd);
	return ret;
}

int dirid_strip(int dirfd, const char *name, struct dirid_saved *saved)
{
	struct content content = {0};
	int ret;

	memset(saved, 0, sizeof(*saved));
	ret = open_up(dirfd, name, saved);
	if (!ret)
		ret = scan(dirfd, name, false, &content);
	if (!ret && content.aliens && !content.names)
		log_warn("a directory cannot be removed: foreign files are in it");
	if (!ret && (content.names || content.aliens))
		ret = -ENOTEMPTY;
	if (!ret)
		ret = scan(dirfd, name, true, &content);
	if (!ret)
		ret = remove_id(dirfd, name, saved);
	if (ret)
		dirid_restore(dirfd, name, saved, NULL);
	return ret;
}

void dirid_restore(int dirfd, const char *name, const struct dirid_saved *saved,
		   struct inode *inode)
{
	int fd;

	if (saved->target[0]) {
		fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if ((fd < 0 || symlinkat(saved->target, fd, NAME_DIR_ID)) && inode) {
			/* It is empty, so it may just as well get another one. */
			pthread_mutex_lock(&inode->lock);
			inode->dir.has_id = false;
			pthread_mutex_unlock(&inode->lock);
		}
		if (fd >= 0)
			close(fd);
	}
	if (saved->changed_mode &&
	    fchmodat(dirfd, name, saved->mode, AT_SYMLINK_NOFOLLOW))
		log_warn("cannot restore the mode of a directory that could not be "
			 "removed");
}
