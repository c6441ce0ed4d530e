/* SPDX-License-Identifier: Apache-2.0 */
/* A file's space: allocating it, giving it back as holes, finding holes. */
#ifndef FS_SPACE_H
#define FS_SPACE_H

#include <stdbool.h>
#include <stdint.h>

struct inode;
struct worker;

enum space_change {
	SPACE_ALLOCATE, /* what is not there becomes zeros with room on the disk */
	SPACE_ZERO,	/* zeros, which keep their room where the store can do that */
	SPACE_PUNCH,	/* zeros, as holes where whole pages are concerned */
};

/*
 * Of @len plain bytes (not 0) from @off on. Unless @keep_size, a file that ends before is
 * extended. The inode is open for writing. 0, -EOPNOTSUPP (SPACE_ALLOCATE: the store
 * cannot), -EFBIG, -ENOSPC, -EIO...
 */
int space_change(struct worker *w, struct inode *inode, enum space_change what,
		 uint64_t off, uint64_t len, bool keep_size);

/*
 * The first byte from @off on that is in a hole (the end counts as one) or that is not.
 * Holes are whole pages. 0, -ENXIO (behind the end), or lseek()'s error.
 */
int space_seek(struct worker *w, struct inode *inode, uint64_t off, bool hole,
	       uint64_t *found);

#endif
