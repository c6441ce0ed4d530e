/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MKFS_STORE_H
#define MKFS_STORE_H

struct volume;

/*
 * Whether the file system that the still empty directory @volume lies on can keep a
 * volume. 0, or an exit code after a sentence that says what is missing. Leaves nothing
 * behind.
 */
int store_check(const struct volume *volume);

#endif
