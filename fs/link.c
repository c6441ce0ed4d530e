/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/deadline.h"
#include "fs/link.h"
#include "hsm/api/client.h"
#include "hsm/api/queue.h"

enum { WAIT_SLICE_MS = 100 };

struct link {
	pthread_mutex_t lock; /* guards hsm: held for every call on it */
	pthread_cond_t changed;
	struct hsm_client *hsm; /* NULL while suspended */
	struct wire_redeem_reply volume;
	atomic_uint epoch; /* 0 while suspended */
	uint32_t last_epoch;
	bool shut;
};

/* A connection with @ticket redeemed. */
static int connect_with(const uint8_t ticket[WIRE_TICKET_BYTES], struct hsm_client **out,
			struct wire_redeem_reply *volume, char *why, size_t why_len)
{
	int ret = hsm_connect(0, out, why, why_len);

	if (ret)
		return ret;
	ret = hsm_redeem(*out, ticket, volume);
	if (!ret)
		return 0;
	snprintf(why, why_len,
		 "the HSM does not accept the ticket (%s); open the volume again",
		 strerror(-ret));
	hsm_disconnect(*out);
	*out = NULL;
	return ret;
}

int link_create(const uint8_t ticket[WIRE_TICKET_BYTES], struct link **out, char *why,
		size_t why_len)
{
	struct link *link = calloc(1, sizeof(*link));
	int ret;

	if (!link)
		return -ENOMEM;
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->changed, NULL);
	ret = connect_with(ticket, &link->hsm, &link->volume, why, why_len);
	if (ret) {
		link_destroy(link);
		return ret;
	}
	link->epoch = link->last_epoch = 1;
	*out = link;
	return 0;
}

void link_destroy(struct link *link)
{
	if (!link)
		return;
	hsm_disconnect(link->hsm);
	pthread_cond_destroy(&link->changed);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

const struct wire_redeem_reply *link_volume(const struct link *link)
{
	return &link->volume;
}

uint32_t link_epoch(const struct link *link)
{
	return atomic_load(&((struct link *)link)->epoch);
}

/* The lock is held. */
static void suspend_locked(struct link *link)
{
	if (!link->hsm)
		return;
	hsm_disconnect(link->hsm);
	link->hsm = NULL;
	atomic_store(&link->epoch, 0);
	pthread_cond_broadcast(&link->changed);
}

void link_lost(struct link *link, uint32_t epoch)
{
	pthread_mutex_lock(&link->lock);
	if (atomic_load(&link->epoch) == epoch)
		suspend_locked(link);
	pthread_mutex_unlock(&link->lock);
}

/*
 * Runs @use on the connection. Whatever it fails with, the session is of no use any more
 * when hsmd has gone or says that the keys are.
 */
int link_use(struct link *link, int (*use)(struct hsm_client *hsm, void *arg), void *arg)
{
	int ret = -EKEYREVOKED;

	pthread_mutex_lock(&link->lock);
	if (link->hsm)
		ret = use(link->hsm, arg);
	if (ret == -EPIPE || ret == -EKEYREVOKED || ret == -EPROTO) {
		suspend_locked(link);
		ret = -EKEYREVOKED;
	}
	pthread_mutex_unlock(&link->lock);
	return ret;
}

struct attach_use {
	struct link *link;
	struct queue *queue;
	uint32_t epoch;
};

static int use_attach(struct hsm_client *hsm, void *arg)
{
	struct attach_use *use = arg;

	use->epoch = link_epoch(use->link);
	return queue_attach(use->queue, hsm);
}

int link_attach(struct link *link, struct queue *queue, uint32_t *epoch)
{
	struct attach_use use = {.link = link, .queue = queue};
	int ret = link_use(link, use_attach, &use);

	*epoch = use.epoch;
	return ret;
}

static int use_renew(struct hsm_client *hsm, void *arg)
{
	return queue_renew(arg, hsm);
}

int link_renew(struct link *link, struct queue *queue)
{
	return link_use(link, use_renew, queue);
}

static int use_lock(struct hsm_client *hsm, void *arg)
{
	(void)arg;
	return hsm_lock(hsm);
}

int link_lock(struct link *link)
{
	int ret = link_use(link, use_lock, NULL);

	link_lost(link, link_epoch(link));
	return ret == -EKEYREVOKED ? 0 : ret;
}

int link_resume(struct link *link, const uint8_t ticket[WIRE_TICKET_BYTES], char *why,
		size_t why_len)
{
	struct wire_redeem_reply volume;
	struct hsm_client *hsm;
	int ret;

	if (link_epoch(link)) {
		snprintf(why, why_len, "the volume is not suspended");
		return -EBUSY;
	}
	ret = connect_with(ticket, &hsm, &volume, why, why_len);
	if (ret)
		return ret;
	if (memcmp(volume.uuid, link->volume.uuid, KEYSLOT_UUID_BYTES) ||
	    volume.rights != link->volume.rights) {
		snprintf(why, why_len,
			 "the ticket is for another volume or other rights");
		hsm_disconnect(hsm);
		return -EINVAL;
	}
	pthread_mutex_lock(&link->lock);
	hsm_disconnect(link->hsm); /* only if somebody else resumed meanwhile */
	link->hsm = hsm;
	atomic_store(&link->epoch, ++link->last_epoch);
	pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->lock);
	return 0;
}

void link_shut(struct link *link)
{
	pthread_mutex_lock(&link->lock);
	link->shut = true;
	pthread_cond_broadcast(&link->changed);
	pthread_mutex_unlock(&link->lock);
}

static void wait_slice(struct link *link)
{
	struct timespec until = deadline_in(WAIT_SLICE_MS);

	pthread_cond_clockwait(&link->changed, &link->lock, CLOCK_MONOTONIC, &until);
}

int link_wait(struct link *link, bool (*interrupted)(void *arg), void *arg)
{
	int ret = 0;

	pthread_mutex_lock(&link->lock);
	for (;;) {
		if (link->shut)
			ret = -EIO;
		else if (interrupted(arg))
			ret = -EINTR;
		if (ret || link->hsm)
			break;
		wait_slice(link);
	}
	pthread_mutex_unlock(&link->lock);
	return ret;
}

int link_fd(struct link *link)
{
	int fd;

	pthread_mutex_lock(&link->lock);
	fd = link->hsm ? hsm_fd(link->hsm) : -1;
	pthread_mutex_unlock(&link->lock);
	return fd;
}

struct status_use {
	struct wire_status_reply *status;
	struct wire_hello_reply *identity;
};

static int use_status(struct hsm_client *hsm, void *arg)
{
	struct status_use *use = arg;

	*use->identity = *hsm_identity(hsm);
	return hsm_status(hsm, use->status);
}

int link_status(struct link *link, struct wire_status_reply *status,
		struct wire_hello_reply *identity)
{
	struct status_use use = {status, identity};

	return link_use(link, use_status, &use);
}
