/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a volume was not closed cleanly: files whose last page and length do not agree
 * are given the end their last page states (fs/FORMAT.md, section 4). Runs before the
 * volume is served.
 */
#ifndef FS_SETTLE_H
#define FS_SETTLE_H

#include <stdint.h>

struct fs;

/*
 * Looks at every regular file with a ctime of @since (seconds since 1970) or later. 0
 * when all could be looked at (those that are damaged are logged and stay so),
 * -EKEYREVOKED when the HSM has gone, or the first error of the backing store.
 */
int settle_volume(struct fs *fs, int64_t since);

#endif
