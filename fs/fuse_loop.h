/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes requests from /dev/fuse and has workers serve them.
 *
 * A worker that has a seat (fs/crew.h) receives: it looks for requests for a bounded,
 * adaptive time before it sleeps, takes several into its ring when there are several, and
 * serves them itself.
 */
#ifndef FS_FUSE_LOOP_H
#define FS_FUSE_LOOP_H

#include <stddef.h>
#include <stdint.h>

struct fs;
struct fuse_session;
struct loop;
struct worker;

/* For a mounted session. 0 or -errno. */
int loop_start(struct fuse_session *se, struct fs *fs, struct loop **out);

/* Waits until the file system is unmounted and every worker has ended. */
void loop_join(struct loop *loop);
void loop_destroy(struct loop *loop);

/* The link is up again: dispatches what was parked. Thread-safe. */
void loop_wake(struct loop *loop);

/*
 * Has every worker give back the memory of requests that are done, which may hold file
 * data. Waits until all have, but not for those that are in the middle of a request.
 */
void loop_wipe(struct loop *loop);

/*
 * Puts the first @len bytes of file @id into the kernel's cache, over what is there. It
 * waits for pages that the kernel has locked: there must be none that wait for a worker.
 * When it fails, the kernel will ask.
 */
void loop_store(struct worker *w, uint64_t id, const void *data, size_t len);

/* Workers there are. */
unsigned loop_nr_workers(struct loop *loop);

#endif
