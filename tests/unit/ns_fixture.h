/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume in a temporary directory for tests of the directory operations, with stand-ins
 * for the worker, the HSM and file content. Defines functions: one includer a program.
 */
#ifndef TESTS_UNIT_NS_FIXTURE_H
#define TESTS_UNIT_NS_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/names.h"
#include "fs/namespace.h"
#include "fs/ns.h"
#include "fs/sealer.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"

struct volume {
	struct fs fs;
	struct worker worker;
	char path[32];
};

/* What the stand-ins were asked for, and how the HSM is to answer. */
static unsigned hsm_batches, hsm_items, blocking_calls;
static int hsm_error;

struct fs *worker_fs(struct worker *w)
{
	return w->fs;
}

int worker_may_block(struct worker *w)
{
	(void)w;
	__atomic_add_fetch(&blocking_calls, 1, __ATOMIC_RELAXED);
	return 0;
}

/* --- the HSM: tag = hash of everything, the text XOR a byte of it --- */

const uint8_t SEALER_DIR_ID[PAGE_ID_BYTES] = "directory id";
const uint8_t SEALER_SYMLINK[PAGE_ID_BYTES] = "symlink";
const uint8_t SEALER_ATTRIBUTE[PAGE_ID_BYTES] = "attribute";
const uint8_t SEALER_SYSTEM[PAGE_ID_BYTES] = "system";

static void fake_tag(const uint8_t *context, const uint8_t *nonce, const void *text,
		     size_t len, uint8_t tag[16])
{
	static uint8_t zero[16];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t hash[32];

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, context, PAGE_ID_BYTES);
	EVP_DigestUpdate(md, nonce ? nonce : zero, 16);
	EVP_DigestUpdate(md, text, len);
	EVP_DigestFinal_ex(md, hash, NULL);
	EVP_MD_CTX_free(md);
	memcpy(tag, hash, 16);
}

static void fake_seal(struct sealer_item *item, const uint8_t *context, size_t nonce_len)
{
	uint8_t *out = item->out, *tag = out + nonce_len;

	if (nonce_len)
		assert_int_equal(getrandom(out, nonce_len, 0), nonce_len);
	fake_tag(context, nonce_len ? out : NULL, item->in, item->in_len, tag);
	for (uint32_t i = 0; i < item->in_len; i++)
		tag[16 + i] = ((const uint8_t *)item->in)[i] ^ tag[i % 16];
	item->out_len = (uint32_t)(nonce_len + 16 + item->in_len);
	item->status = 0;
}

static void fake_open(struct sealer_item *item, const uint8_t *context, size_t nonce_len)
{
	const uint8_t *in = item->in, *tag = in + nonce_len;
	uint8_t want[16];

	item->status = -EBADMSG;
	item->out_len = 0;
	if (item->in_len < nonce_len + 16)
		return;
	item->out_len = (uint32_t)(item->in_len - nonce_len - 16);
	for (uint32_t i = 0; i < item->out_len; i++)
		((uint8_t *)item->out)[i] = tag[16 + i] ^ tag[i % 16];
	fake_tag(context, nonce_len ? in : NULL, item->out, item->out_len, want);
	if (!memcmp(want, tag, 16)) {
		item->status = 0;
		return;
	}
	memset(item->out, 0, item->out_len);
	item->out_len = 0;
}

int sealer_run(struct worker *w, enum ring_op op, const uint8_t context[PAGE_ID_BYTES],
	       struct sealer_item *items, size_t nr)
{
	size_t nonce_len = op == RING_BLOB_SEAL || op == RING_BLOB_OPEN ? 16 : 0;

	(void)w;
	if (hsm_error)
		return hsm_error;
	__atomic_add_fetch(&hsm_batches, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&hsm_items, (unsigned)nr, __ATOMIC_RELAXED);
	for (size_t i = 0; i < nr; i++) {
		if (op == RING_NAME_SEAL || op == RING_BLOB_SEAL)
			fake_seal(&items[i], context, nonce_len);
		else
			fake_open(&items[i], context, nonce_len);
	}
	return 0;
}

/* --- file content: sizes only --- */

void file_fini(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
}

int file_open(struct worker *w, struct inode *inode, int flags)
{
	int fd = inode_open_backing(w->fs, inode, flags & (O_ACCMODE | O_TRUNC));

	return fd < 0 ? fd : file_adopt(w, inode, fd);
}

int file_adopt(struct worker *w, struct inode *inode, int fd)
{
	pthread_mutex_lock(&inode->lock);
	if (inode->file) {
		close(fd);
	} else {
		struct file *file = calloc(1, sizeof(*file));

		assert_non_null(file);
		file->fd = fd;
		inode_set_file(w->fs, inode, file);
	}
	inode->file->nr_open++;
	pthread_mutex_unlock(&inode->lock);
	return 0;
}

int file_close(struct worker *w, struct inode *inode)
{
	struct file *file = inode->file;

	pthread_mutex_lock(&inode->lock);
	if (!--file->nr_open) {
		inode_set_file(w->fs, inode, NULL);
		close(file->fd);
		free(file);
	}
	pthread_mutex_unlock(&inode->lock);
	return 0;
}

bool file_being_dated(struct inode *inode)
{
	(void)inode;
	return false;
}

void file_written_back(struct inode *inode)
{
	(void)inode;
}

int file_truncate(struct worker *w, struct inode *inode, uint64_t size)
{
	int fd = inode_open_backing(w->fs, inode, O_RDWR), ret;

	if (fd < 0)
		return fd;
	ret = ftruncate(fd, (off_t)layout_backing_size(size)) ? -errno : 0;
	close(fd);
	return ret;
}

/* --- the volume --- */

static void volume_open(struct volume *v)
{
	pthread_rwlock_init(&v->fs.tree, NULL);
	v->fs.root_fd = open(v->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(v->fs.root_fd >= 0);
	v->fs.names = names_create();
	assert_non_null(v->fs.names);
	assert_int_equal(inode_table_create(&v->fs, v->fs.root_fd, &v->fs.inodes), 0);
	v->worker.fs = &v->fs;
	hsm_batches = hsm_items = blocking_calls = 0;
	hsm_error = 0;
}

static void volume_close(struct volume *v)
{
	inode_table_destroy(v->fs.inodes);
	names_destroy(v->fs.names);
	close(v->fs.root_fd);
	pthread_rwlock_destroy(&v->fs.tree);
}

/* All that was cached is gone, as after a new mount. */
static inline void volume_remount(struct volume *v)
{
	volume_close(v);
	volume_open(v);
}

static int setup(void **state)
{
	struct volume *v = calloc(1, sizeof(*v));

	umask(0);
	snprintf(v->path, sizeof(v->path), P_tmpdir "/hsmfs-ns-test-XXXXXX");
	if (!mkdtemp(v->path))
		return -1;
	volume_open(v);
	*state = v;
	return 0;
}

static int teardown(void **state)
{
	struct volume *v = *state;
	char command[160];

	volume_close(v);
	snprintf(command, sizeof(command), "chmod -R u+rwx '%s'; rm -rf '%s'", v->path,
		 v->path);
	if (system(command))
		return -1;
	free(v);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define W	(&v->worker)
#define ROOT	inode_root(&v->fs)

/* Makes (or finds) something in @dir and gives its inode; the reference is kept. */
static inline struct inode *must_mkdir(struct volume *v, struct inode *dir,
				       const char *name)
{
	struct ns_entry entry;

	assert_int_equal(ns_mkdir(W, dir, name, 0755, NULL, &entry), 0);
	assert_true(S_ISDIR(entry.attr.st_mode));
	return entry.inode;
}

static inline struct inode *must_create(struct volume *v, struct inode *dir,
					const char *name)
{
	struct ns_entry entry;

	assert_int_equal(ns_mknod(W, dir, name, S_IFREG | 0644, 0, NULL, &entry), 0);
	return entry.inode;
}

static inline struct inode *must_find(struct volume *v, struct inode *dir,
				      const char *name)
{
	struct ns_entry entry;

	assert_int_equal(ns_lookup(W, dir, name, &entry), 0);
	return entry.inode;
}

/* Looks @name up and drops it. */
static inline int probe(struct volume *v, struct inode *dir, const char *name)
{
	struct ns_entry entry;
	int ret = ns_lookup(W, dir, name, &entry);

	if (!ret)
		inode_forget(&v->fs, entry.inode, 1);
	return ret;
}

/* Entries of @dir without the dots that @want (NULL: any) is the name of; or -errno. */
static inline int count_listed(struct volume *v, struct inode *inode, const char *want)
{
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int ret = ns_opendir(W, inode, &dir), nr = 0;

	if (ret)
		return ret;
	while ((ret = ns_readdir(W, dir, entry.offset, &entry)) > 0) {
		if (strcmp(entry.name, ".") && strcmp(entry.name, "..") &&
		    (!want || !strcmp(entry.name, want)))
			nr++;
	}
	ns_closedir(W, dir);
	return ret ? ret : nr;
}

/* A descriptor of the backing directory of @inode, to do mischief with. */
static inline int backing_of(struct volume *v, struct inode *inode)
{
	int fd = inode_open_backing(&v->fs, inode, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

/* Backing entries that begin with @prefix. */
static inline int count_backing(struct volume *v, struct inode *inode, const char *prefix)
{
	DIR *dir = fdopendir(backing_of(v, inode));
	struct dirent *entry;
	int nr = 0;

	while ((entry = readdir(dir)))
		nr += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		      !strncmp(entry->d_name, prefix, strlen(prefix));
	closedir(dir);
	return nr;
}

/* The backing names of @plain in @dir. */
static inline struct name_backing backing_name(struct volume *v, struct inode *dir,
					       const char *plain)
{
	struct ns_name name;

	assert_int_equal(ns_seal(W, dir, plain, &name), 0);
	return name.backing;
}

/* A name of @len bytes. */
static inline const char *long_name(char first, size_t len)
{
	static char names[4][NAME_PLAIN_MAX + 2];
	static unsigned turn;
	char *name = names[turn++ % 4];

	memset(name, 'x', len);
	name[0] = first;
	name[len] = '\0';
	return name;
}

#endif
