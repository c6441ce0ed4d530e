/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is drawn, derived and sealed beside pages, which hsmd --benchmark measures: one
 * JSON line each, nanoseconds, medians of many rounds. Run as the HSM runs: OpenSSL's
 * memory is secret memory.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hsm/api/secmem.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/crypto/siv.h"

enum {
	DIR_ID_BYTES = 16,
	NAME_BYTES = 24,
	NR_ROUNDS = 101,
	NR_CALLS = 200,
};

static struct {
	const struct aead_engine *engine;
	struct siv *siv;
	struct random_pool *pool;
	uint8_t raw[SIV_KEY_BYTES];
	uint8_t nonce[AEAD_NONCE_BYTES];
	uint8_t dir_id[DIR_ID_BYTES];
	uint8_t plain[NAME_BYTES];
	uint8_t name[SIV_TAG_BYTES + NAME_BYTES];
} s;

static void expect(int rc)
{
	if (rc == 0)
		return;
	fprintf(stderr, "cipher_bench: a call failed: %d\n", rc);
	exit(1);
}

static void key_cycle(void)
{
	void *key = secmem_alloc(s.engine->key_size);

	expect(key ? s.engine->key_init(key, s.raw) : -1);
	s.engine->key_fini(key);
	secmem_free(key);
}

static void seal_name(void)
{
	expect(siv_seal(s.siv, s.dir_id, DIR_ID_BYTES, s.plain, NAME_BYTES, s.name));
}

static void open_name(void)
{
	expect(siv_open(s.siv, s.dir_id, DIR_ID_BYTES, s.name, sizeof(s.name), s.plain));
}

static void siv_cycle(void)
{
	struct siv *siv = siv_create(s.raw);

	expect(siv ? 0 : -1);
	siv_destroy(siv);
}

static void draw_nonce(void)
{
	expect(random_draw(s.pool, s.nonce, sizeof(s.nonce)));
}

static void memory_cycle(void)
{
	void *p = secmem_alloc(64);

	expect(p ? 0 : -1);
	secmem_free(p);
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_ns(void (*call)(void))
{
	double rounds[NR_ROUNDS];

	for (int i = 0; i < NR_ROUNDS; i++) {
		double start = now_ns();

		for (int j = 0; j < NR_CALLS; j++)
			call();
		rounds[i] = (now_ns() - start) / NR_CALLS;
	}
	qsort(rounds, NR_ROUNDS, sizeof(rounds[0]), compare_doubles);
	return rounds[NR_ROUNDS / 2];
}

static void bench_engine(const struct aead_engine *engine)
{
	int rc = aead_self_test(engine);

	if (rc == -ENOTSUP)
		return;
	expect(rc);
	s.engine = engine;
	printf("{\"engine\": \"%s\", \"key_setup_ns\": %.0f, \"key_bytes\": %zu}\n",
	       engine->name, median_ns(key_cycle), engine->key_size);
}

static void bench_siv(void)
{
	double seal_ns = median_ns(seal_name);
	double open_ns = median_ns(open_name);

	printf("{\"engine\": \"siv\", \"name_bytes\": %d, \"seal_ns\": %.0f, "
	       "\"open_ns\": %.0f, "
	       "\"key_setup_ns\": %.0f}\n",
	       NAME_BYTES, seal_ns, open_ns, median_ns(siv_cycle));
}

int main(void)
{
	expect(secmem_adopt_openssl());
	for (size_t i = 0; aead_engines[i]; i++)
		bench_engine(aead_engines[i]);
	s.siv = siv_create(s.raw);
	s.pool = random_create();
	expect(s.siv && s.pool ? 0 : -1);
	bench_siv();
	printf("{\"nonce_ns\": %.0f, \"secmem_alloc_free_ns\": %.0f, \"secmem\": "
	       "\"%s\"}\n",
	       median_ns(draw_nonce), median_ns(memory_cycle), secmem_kind());
	siv_destroy(s.siv);
	random_destroy(s.pool);
	return 0;
}
