/* SPDX-License-Identifier: Apache-2.0 */
/* hsmd's listening socket and its connections. */
#ifndef HSM_SERVER_H
#define HSM_SERVER_H

#include <stddef.h>

struct hsm;

struct server;

/*
 * Listens on hsmd.sock in the runtime directory. 0; -EADDRINUSE (another hsmd listens
 * there); -EACCES... On error @why gets one sentence.
 */
int server_open(struct server **out, char *why, size_t why_len);

/*
 * Serves until SIGTERM or SIGINT (which the caller must have blocked), or, with
 * @idle_exit_s > 0, until there has been no connection for so long and no limits are
 * remembered (hsm/terms.h), or the socket has been removed. Every connection has ended
 * when it returns, and nobody finds the socket any more. 0 or -errno.
 */
int server_run(struct server *server, const struct hsm *hsm, unsigned idle_exit_s);

/* From here on another hsmd can start. */
void server_close(struct server *server);

#endif
