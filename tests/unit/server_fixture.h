/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmd's server on a thread of the test, so that the test can set the clock and look into
 * its memory. Clients are those of hsmd_fixture.h.
 */
#ifndef TESTS_UNIT_SERVER_FIXTURE_H
#define TESTS_UNIT_SERVER_FIXTURE_H

#include "tests/unit/hsmd_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "hsm/audit.h"
#include "hsm/clock.h"
#include "hsm/crypto/aead.h"
#include "hsm/hsm.h"
#include "hsm/server.h"
#include "hsm/token/token.h"

struct server_fixture {
	struct hsmd folders;
	struct hsm hsm;
	struct server *server;
	pthread_t thread;
};

static _Atomic uint64_t fake_ms = 1000000;

static inline uint64_t fake_clock(void)
{
	return atomic_load(&fake_ms);
}

static inline void pass_ms(uint64_t ms)
{
	atomic_fetch_add(&fake_ms, ms);
}

static inline void *server_thread(void *arg)
{
	struct server_fixture *f = arg;

	server_run(f->server, &f->hsm, 0);
	return NULL;
}

static inline void server_begin(struct server_fixture *f)
{
	char why[256] = "", state[PATH_MAX];
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	hsmd_folders(&f->folders);
	snprintf(state, sizeof(state), "%s/state", f->folders.dir);
	f->hsm = (struct hsm){
		.engine = aead_select(NULL), .nr_tokens = 1, .handle_lifetime_ms = 30000};
	assert_non_null(f->hsm.engine);
	assert_int_equal(
		token_open("tcti=libtpms", state, &f->hsm.tokens[0], why, sizeof(why)),
		0);
	assert_int_equal(audit_open(state, why, sizeof(why)), 0);
	assert_int_equal(server_open(&f->server, why, sizeof(why)), 0);
	clock_set_source(fake_clock);
	assert_int_equal(pthread_create(&f->thread, NULL, server_thread, f), 0);
}

static inline void server_end(struct server_fixture *f)
{
	sigset_t mask;
	int number;

	kill(getpid(), SIGTERM);
	pthread_join(f->thread, NULL);
	/* the server only looked at it */
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigwait(&mask, &number);
	server_close(f->server);
	token_close(f->hsm.tokens[0]);
	audit_close();
	clock_set_source(NULL);
	hsmd_remove(&f->folders);
}

#endif
