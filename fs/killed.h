/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of processes that are being killed. The kernel says so with FUSE_INTERRUPT,
 * but not of direct I/O, which it sends in the background and waits for in a way that no
 * signal ends: while a volume is suspended, somebody must look.
 */
#ifndef FS_KILLED_H
#define FS_KILLED_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether thread @pid, as a request names it, has a SIGKILL that it did not get to yet.
 * False where that cannot be known: it has ended, is in another process namespace (0),
 * or waits for nobody (writeback, 0). Thread-safe.
 */
bool killed_is_dying(pid_t pid);

#endif
