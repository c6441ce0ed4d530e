/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "hsm/audit.h"
#include "hsm/clock.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"
#include "hsm/service.h"
#include "hsm/session.h"
#include "hsm/strings.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

enum {
	SEALS_NEEDED = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
	REST_AFTER_MS = 1000, /* without work, a queue's memory is let go */
	RESTING_MS = 10000,   /* nothing depends on waking then */
	EARLY_WAKE_BYTES = 65536,
	JOIN_TRY_US = 200,
	DEEP_BATCH = 4,		  /* its client has much to do before it submits again */
	SPARE_BYTES = 128 * 1024, /* of locked memory, for what queues need in passing */
};

static uint32_t right_needed(uint8_t op)
{
	switch (op) {
	case RING_OPEN:
	case RING_NAME_OPEN:
	case RING_BLOB_OPEN:
	case RING_NAME_SEAL: /* looking a name up seals it */
		return WIRE_MAY_OPEN;
	default:
		return WIRE_MAY_SEAL;
	}
}

/* May this descriptor be served? The session's lock is held. */
static int authorize(struct service *service, const struct ring_sqe *sqe, uint64_t now_ms)
{
	int ret;

	if (service->session->locked || !session_lease_stands(service->session, now_ms))
		return -EKEYREVOKED;
	ret = handle_check(&service->handles, now_ms, sqe->handle, sqe->generation);
	if (!ret && !(service->rights & right_needed(sqe->op)))
		ret = -EACCES;
	return ret;
}

/* Counts a handle that is not taken. */
static void refuse(struct session *session, int status)
{
	atomic_fetch_add_explicit(&session->refused, 1, memory_order_relaxed);
	/* what the end of a lease cuts off is no attack, and is in the log already */
	if (status != -EKEYREVOKED)
		audit_refused(AUDIT_HANDLES, session->uuid);
}

static bool over_limit(struct session *session, const struct ring_sqe *sqe,
		       uint64_t now_ms)
{
	return session->limited && sqe->op == RING_OPEN &&
	       !limits_bytes_take(&session->opened, sqe->src_len, now_ms);
}

/* 0 or -EPROTO. */
static int run(struct service *service, const struct ring_sqe *sqe, struct ring_cqe *cqe)
{
	switch (sqe->op) {
	case RING_OPEN:
		return pages_open(&service->pages, &service->arena, sqe, cqe);
	case RING_SEAL:
		return pages_seal(&service->pages, &service->arena, sqe, cqe);
	case RING_NAME_SEAL:
	case RING_NAME_OPEN:
	case RING_BLOB_SEAL:
	case RING_BLOB_OPEN:
		return strings_run(service->pages.keyring, service->pages.random,
				   &service->arena, sqe, cqe);
	default:
		return -EPROTO;
	}
}

/* Serves one descriptor into @cqe. 0 or -EPROTO. */
static int serve(struct service *service, const struct ring_sqe *sqe,
		 struct ring_cqe *cqe, uint64_t now_ms)
{
	struct session *session = service->session;
	int ret;

	memset(cqe, 0, sizeof(*cqe));
	cqe->cookie = sqe->cookie;
	cqe->status = authorize(service, sqe, now_ms);
	if (cqe->status) {
		refuse(session, cqe->status);
		return 0;
	}
	if (over_limit(session, sqe, now_ms)) {
		audit_refused(AUDIT_LIMIT, session->uuid);
		cqe->status = -EDQUOT;
	} else {
		ret = run(service, sqe, cqe);
		if (ret)
			return ret;
	}
	atomic_store_explicit(&session->last_use_ms, now_ms, memory_order_relaxed);
	if (handle_issue(&service->handles, service->pages.random, now_ms, cqe->handle,
			 &cqe->generation))
		cqe->status = -EIO;
	return 0;
}

static void complete(struct service *service, const struct ring_cqe *cqe, bool wake)
{
	struct ring_shared *shared = service->shared;

	shared->cq[service->cq_tail % RING_ENTRIES] = *cqe;
	service->cq_tail++;
	if (wake)
		ring_publish(&shared->cq_tail, service->cq_tail, &shared->client_sleeps);
	else
		__atomic_store_n(&shared->cq_tail, service->cq_tail, __ATOMIC_RELEASE);
}

static void count_pages(struct service *service)
{
	struct session *session = service->session;

	atomic_fetch_add_explicit(&session->pages_sealed, service->pages.sealed,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&session->pages_opened, service->pages.opened,
				  memory_order_relaxed);
	atomic_store_explicit(&session->generation, service->handles.latest,
			      memory_order_relaxed);
	service->pages.sealed = service->pages.opened = 0;
}

/* Serves all descriptors up to @tail. 0 or -EPROTO. */
static int serve_batch(struct service *service, uint32_t tail)
{
	uint64_t now_ms = clock_now_ms();
	bool is_long = false;
	int ret = 0;

	if (tail - service->sq_head > RING_ENTRIES)
		return -EPROTO;
	service->spin.brief = tail - service->sq_head >= DEEP_BATCH;
	pthread_rwlock_rdlock(&service->session->lock);
	while (service->sq_head != tail && !ret) {
		struct ring_sqe sqe =
			service->shared->sq[service->sq_head % RING_ENTRIES];
		struct ring_cqe cqe;

		service->sq_head++;
		/* the copy must be made before anything in it is looked at */
		__asm__ volatile("" ::: "memory");
		is_long |= ring_is_long(&sqe);
		ret = serve(service, &sqe, &cqe, now_ms);
		if (ret) /* so that the client knows which it was */
			cqe = (struct ring_cqe){.cookie = sqe.cookie, .status = ret};
		complete(service, &cqe,
			 ret || service->sq_head == tail || cqe.len >= EARLY_WAKE_BYTES);
	}
	ring_spin_expect(&service->spin, is_long);
	count_pages(service);
	pthread_rwlock_unlock(&service->session->lock);
	return ret;
}

/*
 * Between two batches. Who waits for a lone operation needs the core it waits on, unless
 * it is a long one, for which both may as well take turns.
 */
static void keep_apart(struct service *service)
{
	uint32_t core = __atomic_load_n(&service->shared->client_core, __ATOMIC_RELAXED);

	if (!service->spin.brief && !service->spin.is_long)
		apart_keep(&service->apart, core - 1);
}

/*
 * Takes the arena's pages out of our page tables; they are the client's, and come back
 * when it has work. Locked memory lets go of them only since Linux 5.18.
 */
static void let_arena_go(const struct arena *arena)
{
	if (madvise(arena->base, arena->len, MADV_DONTNEED_LOCKED))
		madvise(arena->base, arena->len, MADV_DONTNEED);
}

/* A client on battery would rather have us sleep; it cannot keep us awake for longer. */
static void heed_patience(struct service *service)
{
	uint32_t told =
		__atomic_load_n(&service->shared->client_patience, __ATOMIC_RELAXED);

	service->spin.max_ns = told && told <= RING_SPIN_NS ? told - 1 : RING_SPIN_NS;
}

static void *service_thread(void *arg)
{
	struct service *service = arg;
	struct ring_shared *shared = service->shared;
	bool resting = false;
	uint8_t any;

	prctl(PR_SET_NAME, "hsmd-queue");
	/* a thread's generator takes its memory with the first byte */
	if (random_bytes(&any, sizeof(any)))
		shutdown(service->notify_fd, SHUT_RDWR);
	while (!atomic_load_explicit(&service->stop, memory_order_relaxed)) {
		uint32_t tail;

		heed_patience(service);
		tail = ring_wait(&service->spin, &shared->sq_tail, &shared->hsm_sleeps,
				 service->sq_head, resting ? RESTING_MS : REST_AFTER_MS);

		if (tail == service->sq_head) {
			if (!resting)
				let_arena_go(&service->arena);
			resting = true;
			continue;
		}
		resting = false;
		if (serve_batch(service, tail)) {
			/* a broken client: its connection ends, and this service */
			shutdown(service->notify_fd, SHUT_RDWR);
			break;
		}
		keep_apart(service);
	}
	return NULL;
}

/*
 * Of all services, so that no ring has two: what one leaves on a ring that its client has
 * attached anew would be taken for the answers of the other.
 */
static struct service *rings;
static pthread_mutex_t rings_lock = PTHREAD_MUTEX_INITIALIZER;

static int claim_ring(struct service *service, const struct stat *st)
{
	struct service *other;

	pthread_mutex_lock(&rings_lock);
	for (other = rings; other; other = other->next_ring)
		if (other->dev == st->st_dev && other->ino == st->st_ino)
			break;
	if (!other) {
		service->dev = st->st_dev;
		service->ino = st->st_ino;
		service->next_ring = rings;
		rings = service;
	}
	pthread_mutex_unlock(&rings_lock);
	return other ? -EBUSY : 0;
}

/* Also of one that has none. */
static void release_ring(const struct service *service)
{
	struct service **at = &rings;

	pthread_mutex_lock(&rings_lock);
	while (*at && *at != service)
		at = &(*at)->next_ring;
	if (*at)
		*at = service->next_ring;
	pthread_mutex_unlock(&rings_lock);
}

static int map_ring(struct service *service, int memfd, uint64_t arena_len)
{
	struct stat st;
	int seals = fcntl(memfd, F_GET_SEALS);
	struct statfs store;
	size_t len = RING_ARENA_OFFSET + (size_t)arena_len;
	void *map;

	if (arena_len == 0 || arena_len > RING_ARENA_MAX || arena_len % PAGE_BYTES)
		return -EINVAL;
	/* unsealed, the client could shrink it and kill us with SIGBUS */
	if (seals < 0 || (seals & SEALS_NEEDED) != SEALS_NEEDED ||
	    (seals & F_SEAL_WRITE) || fstat(memfd, &st) || st.st_size != (off_t)len)
		return -EINVAL;
	/* nor may it take pages of a reserve of huge ones away from under us */
	if (fstatfs(memfd, &store) || store.f_type == HUGETLBFS_MAGIC)
		return -EINVAL;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (map == MAP_FAILED)
		return -errno;
	madvise(map, len, MADV_DONTDUMP);
	service->shared = map;
	service->arena.base = (uint8_t *)map + RING_ARENA_OFFSET;
	service->arena.len = (size_t)arena_len;
	return claim_ring(service, &st);
}

static void service_free(struct service *service)
{
	keyring_destroy(service->pages.keyring);
	random_destroy(service->pages.random);
	secmem_free(service->pages.scratch);
	if (service->shared)
		munmap(service->shared, RING_ARENA_OFFSET + service->arena.len);
	release_ring(service);
	secmem_wipe(service->handles.value, sizeof(service->handles.value));
	free(service);
}

static int prepare(struct service *service, const struct service_config *config)
{
	service->id = config->id;
	service->rights = config->rights;
	service->notify_fd = config->notify_fd;
	handle_init(&service->handles, config->handle_lifetime_ms);
	service->pages.engine = config->engine;
	service->pages.random = random_create();
	service->pages.scratch = secmem_alloc(PAGE_DATA_BYTES);
	return service->pages.random && service->pages.scratch ? 0 : -ENOMEM;
}

static void describe(struct service *service, struct wire_handle *out)
{
	out->queue = service->id;
	out->lifetime_ms = service->handles.lifetime_ms;
}

/* Derives the keys, issues the first handle, joins the session's list. */
static int enlist(struct service *service, struct session *session,
		  struct wire_handle *first)
{
	int ret = -EKEYREVOKED;

	pthread_rwlock_wrlock(&session->lock);
	if (session->locked || !session_lease_stands(session, clock_now_ms()))
		goto out;
	ret = -ENOMEM;
	service->pages.keyring = keyring_create(service->pages.engine, session->vmk);
	if (!service->pages.keyring)
		goto out;
	describe(service, first);
	ret = handle_issue(&service->handles, service->pages.random, clock_now_ms(),
			   first->handle, &first->generation);
	if (ret)
		goto out;
	service->session = session_hold(session);
	service->next = session->queues;
	session->queues = service;
out:
	pthread_rwlock_unlock(&session->lock);
	return ret;
}

static void delist(struct service *service)
{
	struct session *session = service->session;
	struct service **at = &session->queues;

	pthread_rwlock_wrlock(&session->lock);
	while (*at != service)
		at = &(*at)->next;
	*at = service->next;
	pthread_rwlock_unlock(&session->lock);
}

static int start(struct session *session, const struct service_config *config, int memfd,
		 uint64_t arena_len, struct service **out, struct wire_handle *first)
{
	struct service *service = calloc(1, sizeof(*service));
	int ret;

	if (!service)
		return -ENOMEM;
	ret = prepare(service, config);
	if (!ret)
		ret = map_ring(service, memfd, arena_len);
	if (!ret)
		ret = enlist(service, session, first);
	if (ret)
		goto out;
	ret = -pthread_create(&service->thread, NULL, service_thread, service);
	if (ret) {
		delist(service);
		session_release(session);
		goto out;
	}
	*out = service;
	return 0;
out:
	service_free(service);
	return ret;
}

/* With what this one takes for good, enough has to be left, or others would fail. */
int service_start(struct session *session, const struct service_config *config, int memfd,
		  uint64_t arena_len, struct service **out, struct wire_handle *first)
{
	void *spare = secmem_alloc(SPARE_BYTES);
	int ret = -ENOMEM;

	if (spare)
		ret = start(session, config, memfd, arena_len, out, first);
	secmem_free(spare);
	return ret;
}

/* The thread may miss one wake between looking at stop and sleeping: wake until it ends.
 */
static void join_thread(struct service *service)
{
	do {
		ring_wake(&service->shared->sq_tail);
		usleep(JOIN_TRY_US);
	} while (pthread_tryjoin_np(service->thread, NULL) == EBUSY);
}

void service_stop(struct service *service)
{
	struct session *session = service->session;

	atomic_store(&service->stop, true);
	join_thread(service);
	delist(service);
	service_free(service);
	session_release(session);
}

void service_wipe(struct service *service)
{
	if (service->pages.keyring)
		keyring_wipe(service->pages.keyring);
	secmem_wipe(service->pages.scratch, PAGE_DATA_BYTES);
}

int service_renew(struct service *service, struct wire_handle *out)
{
	struct session *session = service->session;
	uint64_t now = clock_now_ms();
	int ret = -EKEYREVOKED;

	pthread_rwlock_wrlock(&session->lock);
	if (!session->locked && session_lease_stands(session, now)) {
		memset(out, 0, sizeof(*out));
		describe(service, out);
		ret = handle_renew(&service->handles, service->pages.random, now,
				   out->handle, &out->generation);
	}
	pthread_rwlock_unlock(&session->lock);
	return ret;
}
