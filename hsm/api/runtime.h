/* SPDX-License-Identifier: Apache-2.0 */
/* Where hsmd's socket and state live. Thread-safe. */
#ifndef HSM_API_RUNTIME_H
#define HSM_API_RUNTIME_H

#include <stddef.h>

/*
 * $HSMFS_RUNTIME_DIR, else $XDG_RUNTIME_DIR/hsmfs, else /run/user/UID/hsmfs if
 * /run/user/UID is there, else /tmp/hsmfs-UID; made with mode 0700 and checked to be a
 * directory of ours that others cannot write to. 0, -ENAMETOOLONG, -EINVAL (the first is
 * relative; of others that is ignored), -EPERM (it is not), or mkdir's error.
 */
int runtime_dir(char *path, size_t len);

/*
 * $HSMFS_STATE_DIR, else $XDG_STATE_HOME/hsmfs, else $HOME/.local/state/hsmfs, made with
 * its parents (0700). The same errors, and -ENOENT without any of these variables.
 */
int runtime_state_dir(char *path, size_t len);

/* "hsmd.sock" in the runtime directory. */
int runtime_socket_path(char *path, size_t len);

/* A connection to a running hsmd of our own user: a descriptor or -errno with @why. */
int runtime_connect(char *why, size_t why_len);

#endif
