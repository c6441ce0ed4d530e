/* SPDX-License-Identifier: Apache-2.0 */
/* What the directory operations (fs/namespace.h) share. */
#ifndef FS_NS_H
#define FS_NS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/volume/name.h"
#include "hsm/api/page.h"

struct fs;
struct inode;
struct ns_entry;
struct worker;

/*
 * A step found, with the tree locked, that its name had been sealed for an id which the
 * directory no longer has; it is begun anew. No system call returns this.
 */
enum { NS_RETRY = 1 };

/* A plain name in a directory, sealed. The HSM may be suspended: made before locking. */
struct ns_name {
	struct inode *dir;
	uint8_t id[PAGE_ID_BYTES]; /* the directory's, when the name was sealed */
	struct name_backing backing;
};

/* For a name that is to be found: -ENOENT when @dir has no id, hence no children. */
int ns_seal(struct worker *w, struct inode *dir, const char *plain, struct ns_name *out);

/* For a name that is to be made: gives @dir an id when it has none. */
int ns_seal_new(struct worker *w, struct inode *dir, const char *plain,
		struct ns_name *out);

/* The entry of @backing (@entry of @dir, whose descriptor is @dirfd); the tree is held.
 */
int ns_entry_at(struct fs *fs, struct inode *dir, int dirfd, const char *entry,
		struct ns_entry *out);

/*
 * The side entry that @name needs (none, if it is short); *@made when it was not there.
 * Nobody else may make entries of the directory.
 */
int ns_side_make(int dirfd, const struct name_backing *name, bool *made);

/* Removes it. A side entry that stays behind does no harm. */
void ns_side_remove(int dirfd, const struct name_backing *name);

/* For file_fsync(): makes the entry of @inode durable, and those above that are new. */
int ns_sync_new(struct worker *w, struct inode *inode);

#endif
