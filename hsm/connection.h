/* SPDX-License-Identifier: Apache-2.0 */
/* One client's control connection: a state machine over hsm/api/wire.h's messages. */
#ifndef HSM_CONNECTION_H
#define HSM_CONNECTION_H

struct hsm;

/*
 * Serves @fd (a SOCK_SEQPACKET socket) until the client closes it or breaks the protocol,
 * then ends its queues and drops its session. Closes @fd. Blocks; one thread a
 * connection.
 */
void connection_serve(const struct hsm *hsm, int fd);

#endif
