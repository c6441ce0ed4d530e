/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory ids. The id is 16 random bytes to which a directory's names are bound;
 * sealed, it is the target of the symlink NAME_DIR_ID in it. It is made with the first
 * child, so a directory without one is a directory without children.
 */
#ifndef FS_DIRID_H
#define FS_DIRID_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hsm/api/page.h"

struct worker;
struct inode;

/*
 * @dir's id. Must be called with no lock held (the HSM may be suspended). 0; -ENOENT: it
 * has none; -EIO: it does not verify; -EINTR; or an error of readlink or the ring.
 */
int dirid_get(struct worker *w, struct inode *dir, uint8_t id[PAGE_ID_BYTES]);

/*
 * The same, but makes an id when there is none; the volume is being written. -EIO also
 * when the directory has children all the same: somebody took its id away.
 */
int dirid_make(struct worker *w, struct inode *dir, uint8_t id[PAGE_ID_BYTES]);

/* Whether @id, found before, is still @dir's. Takes dir->lock unless @locked. */
bool dirid_is_current(struct inode *dir, const uint8_t id[PAGE_ID_BYTES], bool locked);

/* How a directory was prepared for being removed or replaced, so that it can be undone.
 */
struct dirid_saved {
	char target[PATH_MAX]; /* of its id, "" if it had none */
	mode_t mode;	       /* to be restored, if @changed_mode */
	bool changed_mode;
};

/*
 * Removes all that is ours from the directory (@dirfd, @name) if there is nothing else in
 * it. The tree is held for writing. 0, -ENOTEMPTY or another error, and then nothing has
 * changed but that stray side entries may be gone.
 */
int dirid_strip(int dirfd, const char *name, struct dirid_saved *saved);

/* Puts back what dirid_strip() removed; @inode, if known, learns when that fails. */
void dirid_restore(int dirfd, const char *name, const struct dirid_saved *saved,
		   struct inode *inode);

#endif
