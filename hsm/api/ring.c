/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hsm/api/ring.h"

enum {
	LOOKS_PER_YIELD = 8,
	SPIN_MIN_NS = 2000,
	SPIN_BRIEF_NS = 20000,
	LONG_YIELD_NS = 500000,
	ANY_YIELD_NS = 5000, /* somebody else ran */
	PATIENCE_MIN = 128,  /* waits */
	PATIENCE_MAX = 4096,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Shared between processes, so not the _PRIVATE futex operations. */
static void futex_wait(uint32_t *word, uint32_t value, unsigned timeout_ms)
{
	struct timespec ts = {timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &ts, NULL, 0);
}

void ring_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t look_ns(const struct ring_spin *spin)
{
	uint32_t ns = lesser(spin->budget_ns, spin->max_ns);

	return spin->brief ? lesser(ns, SPIN_BRIEF_NS) : ns;
}

/*
 * A yield that took long let a process run that has much to do: then the next waits
 * sleep, whose wakes the kernel is quick about, instead of giving time slices away. How
 * many of them doubles while it goes on.
 */
static void learn_from_yield(struct ring_spin *spin, uint64_t took_ns)
{
	if (took_ns < (spin->is_long ? ANY_YIELD_NS : LONG_YIELD_NS))
		spin->patience = 0;
	else if (spin->patience < PATIENCE_MAX)
		spin->patience = 2 * spin->patience + PATIENCE_MIN;
	spin->crowded = spin->patience;
}

void ring_spin_expect(struct ring_spin *spin, bool is_long)
{
	if (spin->is_long == is_long)
		return;
	spin->is_long = is_long;
	spin->patience = spin->crowded = 0;
}

/*
 * Looks some times in a row and then yields: on few cores the spinner must not keep the
 * application, or the peer itself, from running.
 */
static bool spin_until_changed(struct ring_spin *spin, const uint32_t *word,
			       uint32_t seen, uint64_t now)
{
	uint64_t until = now + look_ns(spin), before;

	do {
		for (int i = 0; i < LOOKS_PER_YIELD; i++) {
			if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen)
				return true;
			cpu_pause();
		}
		if (spin->crowded) {
			spin->crowded--;
			return false;
		}
		before = now;
		sched_yield();
		now = now_ns();
		learn_from_yield(spin, now - before);
	} while (now < until && !spin->crowded);
	return false;
}

static void spin_learn(struct ring_spin *spin, uint64_t waited_ns)
{
	if (waited_ns < RING_SPIN_NS)
		spin->budget_ns = lesser((uint32_t)waited_ns * 2, RING_SPIN_NS);
	else
		spin->budget_ns /= 2;
	if (spin->budget_ns < SPIN_MIN_NS)
		spin->budget_ns = SPIN_MIN_NS;
}

uint32_t ring_wait(struct ring_spin *spin, uint32_t *word, uint32_t *sleeps,
		   uint32_t seen, unsigned timeout_ms)
{
	uint64_t start;

	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen)
		return __atomic_load_n(word, __ATOMIC_ACQUIRE);
	start = now_ns();
	if (spin->max_ns && spin_until_changed(spin, word, seen, start)) {
		/* keep looking for a while longer than this one took */
		if (spin->budget_ns < RING_SPIN_NS)
			spin->budget_ns += spin->budget_ns / 8;
		return __atomic_load_n(word, __ATOMIC_ACQUIRE);
	}
	__atomic_store_n(sleeps, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen)
		futex_wait(word, seen, timeout_ms);
	__atomic_store_n(sleeps, 0, __ATOMIC_RELAXED);
	spin_learn(spin, now_ns() - start);
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

void ring_publish(uint32_t *word, uint32_t value, uint32_t *peer_sleeps)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(peer_sleeps, __ATOMIC_RELAXED))
		ring_wake(word);
}
