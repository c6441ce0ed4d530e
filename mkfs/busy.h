/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MKFS_BUSY_H
#define MKFS_BUSY_H

/* Says where the volume in the absolute @directory is mounted, if that can be seen, and
 * returns the exit code for it. */
int busy_refuse(const char *directory);

#endif
