/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts whose hsmfs was killed and cannot end, since one of its threads is in the kernel
 * and waits for pages to be written: by hsmfs. Everybody who uses the mount waits with
 * it.
 */
#ifndef MKFS_DEAD_H
#define MKFS_DEAD_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether process @pid was killed and is only waited for. */
bool dead_is(pid_t pid);

/*
 * Ends the FUSE connection of what is mounted on @path, whose process must be dead, and
 * unmounts it although it is in use. 0 or an exit code, having said why.
 */
int dead_unmount(const char *path);

#endif
