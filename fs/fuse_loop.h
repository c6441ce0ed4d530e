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

struct fs;
struct fuse_session;
struct loop;

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

/* Workers there are. */
unsigned loop_nr_workers(struct loop *loop);

#endif
