/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume's link to the HSM: up, or suspended because the session was locked, its
 * lease ended, or hsmd went away. Suspended, operations wait; a new ticket brings the
 * link up again, in a new epoch, and every worker attaches its ring anew. Thread-safe.
 */
#ifndef FS_LINK_H
#define FS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/wire.h"

struct queue;
struct link;

/* Connects to the running hsmd and redeems @ticket. On error @why gets one sentence. */
int link_create(const uint8_t ticket[WIRE_TICKET_BYTES], struct link **out, char *why,
		size_t why_len);
void link_destroy(struct link *link); /* NULL is allowed */

const struct wire_redeem_reply *link_volume(const struct link *link);

/* The epoch while the link is up, 0 while it is suspended. One atomic load. */
uint32_t link_epoch(const struct link *link);

/* Attaches @queue to the session. 0 with *@epoch set, -EKEYREVOKED (suspended
 * now; *@epoch is 0 if the HSM was not asked), or why the HSM cannot serve it for now
 * (-EDQUOT, -ENOMEM, -EBUSY). */
int link_attach(struct link *link, struct queue *queue, uint32_t *epoch);

/* A new handle for @queue. 0 or -EKEYREVOKED (suspended now). */
int link_renew(struct link *link, struct queue *queue);

/* Somebody saw that the session of @epoch is gone. */
void link_lost(struct link *link, uint32_t epoch);

/* Asks hsmd to wipe the session's keys; suspended afterwards. */
int link_lock(struct link *link);

/* Up again with a new ticket for the same volume. 0, -EBUSY (not suspended), -EINVAL
 * (another volume's ticket), or an error of connecting and redeeming. */
int link_resume(struct link *link, const uint8_t ticket[WIRE_TICKET_BYTES], char *why,
		size_t why_len);

/* Nobody will resume any more: waits end with -EIO. */
void link_shut(struct link *link);

/*
 * Waits until the link is up: 0; -EIO after link_shut(); -EINTR when @interrupted (called
 * with @arg every 100 ms) says so.
 */
int link_wait(struct link *link, bool (*interrupted)(void *arg), void *arg);

/* hsmd's socket for poll(), -1 while suspended. A hang-up there is for link_lost(). */
int link_fd(struct link *link);

/* Status of the session and identity of hsmd. -EKEYREVOKED while suspended. */
int link_status(struct link *link, struct wire_status_reply *status,
		struct wire_hello_reply *identity);

struct hsm_client;

/* Runs @use with the connection (for header MACs). -EKEYREVOKED while suspended. */
int link_use(struct link *link, int (*use)(struct hsm_client *hsm, void *arg), void *arg);

#endif
