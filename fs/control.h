/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that answers hsmsetup (fs/volume/mountctl.h) and notices when hsmd goes.
 */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

struct control;
struct fs;
struct fuse_session;
struct loop;
struct header;

struct control_config {
	struct fs *fs;
	struct fuse_session *se;
	struct loop *loop;
	const char *directory;	/* ciphertext */
	const char *mountpoint; /* absolute */
	int listener;		/* of mountctl_listen(); closed in the end */
};

/* 0 or -errno. SIGTERM, SIGINT and SIGHUP must be blocked: they unmount (lazily). */
int control_start(const struct control_config *config, struct control **out);

/* Ends the thread and removes the socket. */
void control_stop(struct control *control);

#endif
