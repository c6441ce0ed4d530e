/* SPDX-License-Identifier: Apache-2.0 */
/* One client's control connection: a state machine over hsm/api/wire.h's messages. */
#ifndef HSM_CONNECTION_H
#define HSM_CONNECTION_H

#include <sys/types.h>

struct hsm;
struct limits_client;

/* Who connected, as the kernel says. */
struct connection_peer {
	pid_t pid;
	struct limits_client *quota; /* outlives the connection */
};

/*
 * Serves @fd (a SOCK_SEQPACKET socket) until the client closes it, ends or breaks the
 * protocol, then ends its queues and drops its session. Closes @fd. Blocks; one thread a
 * connection. Where the kernel has SO_PEERPIDFD, the connection ends with the process
 * that made it, whoever else holds the socket.
 */
void connection_serve(const struct hsm *hsm, int fd, const struct connection_peer *peer);

#endif
