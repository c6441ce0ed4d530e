/* SPDX-License-Identifier: Apache-2.0 */
/* hsm/pages.h: extents against a model, damage, and descriptors that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "hsm/api/page.h"
#include "hsm/api/ring.h"
#include "hsm/api/secmem.h"
#include "hsm/arena.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"
#include "hsm/pages.h"

enum {
	AREA = RING_MAX_PAGES * PAGE_BYTES,
	SRC = 0,
	DST = AREA,
	OLD = 2 * AREA,
	ARENA = 2 * AREA + 2 * PAGE_BYTES,
};

struct rig {
	struct pages_context ctx;
	struct arena arena;
	uint8_t *vmk;
	struct ring_cqe cqe;
};

static int rig_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig->vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	assert_int_equal(random_bytes(rig->vmk, KEYSLOT_VMK_BYTES), 0);
	rig->ctx.engine = aead_select(NULL);
	rig->ctx.random = random_create();
	rig->ctx.scratch = secmem_alloc(PAGE_DATA_BYTES);
	rig->ctx.keyring = keyring_create(rig->ctx.engine, rig->vmk);
	rig->arena.len = ARENA;
	rig->arena.base = calloc(1, ARENA);
	assert_non_null(rig->ctx.keyring);
	*state = rig;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *rig = *state;

	keyring_destroy(rig->ctx.keyring);
	random_destroy(rig->ctx.random);
	secmem_free(rig->ctx.scratch);
	secmem_free(rig->vmk);
	free(rig->arena.base);
	free(rig);
	return 0;
}

static const uint8_t FILE_A[PAGE_ID_BYTES] = "file a";
static const uint8_t FILE_B[PAGE_ID_BYTES] = "file b";

static struct ring_sqe seal_sqe(uint64_t first, uint16_t count, uint32_t last_len,
				uint32_t data_len)
{
	struct ring_sqe sqe = {.op = RING_SEAL,
			       .count = count,
			       .first_page = first,
			       .last_len = last_len,
			       .src = SRC,
			       .src_len = data_len,
			       .dst = DST,
			       .dst_len = AREA,
			       .old_first = OLD,
			       .old_last = OLD + PAGE_BYTES,
			       .flags = RING_SEAL_FINAL};

	memcpy(sqe.file_id, FILE_A, PAGE_ID_BYTES);
	return sqe;
}

/* Opens what lies at DST back to SRC. */
static struct ring_sqe open_sqe(uint64_t first, uint16_t count, uint32_t bytes)
{
	struct ring_sqe sqe = {.op = RING_OPEN,
			       .count = count,
			       .first_page = first,
			       .src = DST,
			       .src_len = bytes,
			       .dst = SRC,
			       .dst_len = AREA};

	memcpy(sqe.file_id, FILE_A, PAGE_ID_BYTES);
	return sqe;
}

static int do_seal(struct rig *rig, const struct ring_sqe *sqe)
{
	memset(&rig->cqe, 0, sizeof(rig->cqe));
	return pages_seal(&rig->ctx, &rig->arena, sqe, &rig->cqe);
}

static int do_open(struct rig *rig, const struct ring_sqe *sqe)
{
	memset(&rig->cqe, 0, sizeof(rig->cqe));
	return pages_open(&rig->ctx, &rig->arena, sqe, &rig->cqe);
}

static void fill(uint8_t *at, size_t len)
{
	assert_int_equal(random_bytes(at, len), 0);
}

static uint32_t content_of(uint64_t first, uint16_t count, uint32_t last_len)
{
	uint32_t content = 0;

	for (uint16_t i = 0; i + 1 < count; i++)
		content += page_capacity(first + i);
	return content + last_len;
}

/* Seals @count pages of random content; the plain bytes are returned (to free). */
static uint8_t *seal_random(struct rig *rig, uint64_t first, uint16_t count,
			    uint32_t last_len)
{
	uint32_t content = content_of(first, count, last_len);
	struct ring_sqe sqe = seal_sqe(first, count, last_len, content);
	uint8_t *plain = malloc(content);

	fill(plain, content);
	memcpy(rig->arena.base + SRC, plain, content);
	assert_int_equal(do_seal(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, 0);
	memset(rig->arena.base + SRC, 0xee, AREA);
	return plain;
}

static void extents_come_back(void **state)
{
	static const uint16_t counts[] = {1, 2, 3, 17, RING_MAX_PAGES};
	static const uint32_t lens[] = {1, 31, 4031, 4032};
	struct rig *rig = *state;

	for (uint64_t first = 0; first < 2; first++)
		for (size_t c = 0; c < 5; c++)
			for (size_t l = 0; l < 4; l++) {
				uint8_t *plain =
					seal_random(rig, first, counts[c], lens[l]);
				uint32_t content = content_of(first, counts[c], lens[l]);
				struct ring_sqe sqe =
					open_sqe(first, counts[c], rig->cqe.len);

				assert_int_equal(do_open(rig, &sqe), 0);
				assert_int_equal(rig->cqe.status, 0);
				assert_int_equal(rig->cqe.len, content);
				assert_int_equal(rig->cqe.flags, RING_SAW_FINAL_LAST);
				assert_memory_equal(rig->arena.base + SRC, plain,
						    content);
				free(plain);
			}
}

static void seals_differ_and_hide(void **state)
{
	struct rig *rig = *state;
	uint8_t first[PAGE_BYTES];
	struct ring_sqe sqe = seal_sqe(1, 1, PAGE_DATA_BYTES, PAGE_DATA_BYTES);

	memset(rig->arena.base + SRC, 'x', PAGE_DATA_BYTES);
	assert_int_equal(do_seal(rig, &sqe), 0);
	memcpy(first, rig->arena.base + DST, PAGE_BYTES);
	assert_int_equal(do_seal(rig, &sqe), 0);
	assert_memory_not_equal(first + 4, rig->arena.base + DST + 4, PAGE_NONCE_BYTES);
	assert_memory_not_equal(first + 32, rig->arena.base + DST + 32, 64);
	assert_null(memmem(first, PAGE_BYTES, "xxxx", 4));
}

static void any_flipped_bit_is_found_and_nothing_comes_out(void **state)
{
	struct rig *rig = *state;
	uint8_t *plain = seal_random(rig, 0, 3, 100);
	uint32_t bytes = rig->cqe.len;
	struct ring_sqe sqe = open_sqe(0, 3, bytes);

	for (uint32_t i = 0; i < bytes; i += i % PAGE_BYTES < 64 ? 1 : 97) {
		rig->arena.base[DST + i] ^= (uint8_t)(1u << (i % 8));
		memset(rig->arena.base + SRC, 0xee, 3 * PAGE_BYTES);
		assert_int_equal(do_open(rig, &sqe), 0);
		assert_int_equal(rig->cqe.status, -EBADMSG);
		assert_int_equal(rig->cqe.bad_page, i / PAGE_BYTES);
		/* pages before the bad one are right, from it on there are zeros */
		assert_memory_equal(rig->arena.base + SRC, plain, rig->cqe.len);
		for (uint32_t j = rig->cqe.len; j < content_of(0, 3, 100); j++)
			assert_int_equal(rig->arena.base[SRC + j], 0);
		rig->arena.base[DST + i] ^= (uint8_t)(1u << (i % 8));
	}
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, 0);
	free(plain);
}

static void a_page_verifies_nowhere_else(void **state)
{
	struct rig *rig = *state;
	uint8_t *plain = seal_random(rig, 5, 1, PAGE_DATA_BYTES);
	struct ring_sqe sqe = open_sqe(6, 1, PAGE_BYTES);

	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	sqe = open_sqe(5, 1, PAGE_BYTES);
	memcpy(sqe.file_id, FILE_B, PAGE_ID_BYTES);
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	sqe = open_sqe(5, 1, PAGE_BYTES - 1);
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	free(plain);
}

static void holes_only_where_allowed(void **state)
{
	struct rig *rig = *state;
	struct ring_sqe sqe = open_sqe(3, 1, PAGE_BYTES);

	memset(rig->arena.base + DST, 0, PAGE_BYTES);
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	sqe.flags = RING_OPEN_HOLES;
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, 0);
	assert_int_equal(rig->cqe.flags, RING_SAW_HOLE);
	/* never page 0, never a page that is not full */
	sqe = open_sqe(0, 1, PAGE_BYTES);
	sqe.flags = RING_OPEN_HOLES;
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	sqe = open_sqe(3, 1, 100);
	sqe.flags = RING_OPEN_HOLES;
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
}

static uint32_t draw(uint32_t below)
{
	uint32_t value;

	assert_int_equal(random_bytes(&value, sizeof(value)), 0);
	return value % below;
}

/* One random patch over two old pages at @first, against a model in memory. */
static void patch_once(struct rig *rig, uint64_t first)
{
	uint32_t cap = page_capacity(first), old_len = cap + 1 + draw(PAGE_DATA_BYTES);
	uint32_t new_last = 1 + draw(PAGE_DATA_BYTES);
	uint32_t total = cap + new_last;
	uint32_t skip = draw(total), len = draw(total - skip + 1);
	uint8_t *old = seal_random(rig, first, 2, old_len - cap);
	uint8_t *model = calloc(1, total);
	struct ring_sqe sqe = seal_sqe(first, 2, new_last, len);

	memcpy(rig->arena.base + OLD, rig->arena.base + DST, rig->cqe.len);
	sqe.skip = skip;
	sqe.old_first_len = PAGE_BYTES;
	sqe.old_last_len = rig->cqe.len - PAGE_BYTES;
	memcpy(model, old, old_len < total ? old_len : total);
	fill(rig->arena.base + SRC, len + 1);
	memcpy(model + skip, rig->arena.base + SRC, len);
	assert_int_equal(do_seal(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, 0);
	sqe = open_sqe(first, 2, rig->cqe.len);
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, 0);
	assert_int_equal(rig->cqe.len, total);
	assert_memory_equal(rig->arena.base + SRC, model, total);
	free(model);
	free(old);
}

static void patches_follow_the_model(void **state)
{
	for (int i = 0; i < 2000; i++)
		patch_once(*state, (uint64_t)(i % 2));
}

static void a_patch_of_a_damaged_page_seals_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t *plain = seal_random(rig, 2, 1, PAGE_DATA_BYTES);
	struct ring_sqe sqe = seal_sqe(2, 1, PAGE_DATA_BYTES, 10);

	memcpy(rig->arena.base + OLD, rig->arena.base + DST, PAGE_BYTES);
	rig->arena.base[OLD + 1000] ^= 1;
	sqe.old_first_len = PAGE_BYTES;
	assert_int_equal(do_seal(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
	assert_int_equal(rig->cqe.len, 0);
	free(plain);
}

static void the_header_flags_are_authentic(void **state)
{
	struct rig *rig = *state;
	struct ring_sqe sqe = seal_sqe(0, 1, 10, 10);

	sqe.header_flags = FILE_SPARSE;
	assert_int_equal(do_seal(rig, &sqe), 0);
	sqe = open_sqe(0, 1, rig->cqe.len);
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.header_flags, FILE_SPARSE);
	rig->arena.base[DST + PAGE_SEAL_BYTES + PAGE_ID_BYTES] = 0;
	assert_int_equal(do_open(rig, &sqe), 0);
	assert_int_equal(rig->cqe.status, -EBADMSG);
}

/* Each change alone makes a good descriptor one that breaks the protocol. */
static void lying_descriptors_are_refused(void **state)
{
	struct rig *rig = *state;
	struct ring_sqe good = seal_sqe(1, 2, 100, 100), sqe;

#define REFUSED(change)                                                                  \
	do {                                                                             \
		sqe = good;                                                              \
		change;                                                                  \
		assert_int_equal(do_seal(rig, &sqe), -EPROTO);                           \
	} while (0)
	REFUSED(sqe.count = 0);
	REFUSED(sqe.count = RING_MAX_PAGES + 1);
	REFUSED(sqe.last_len = 0);
	REFUSED(sqe.last_len = PAGE_DATA_BYTES + 1);
	REFUSED(sqe.first_page = UINT64_MAX);
	REFUSED(sqe.first_page = INT64_MAX);
	REFUSED(sqe.src = ARENA; sqe.src_len = 1);
	REFUSED(sqe.src = UINT32_MAX);
	REFUSED(sqe.src_len = UINT32_MAX);
	REFUSED(sqe.src_len = content_of(1, 2, 100) + 1);
	REFUSED(sqe.skip = UINT32_MAX);
	REFUSED(sqe.dst = ARENA - PAGE_BYTES);
	REFUSED(sqe.dst_len = PAGE_BYTES);
	REFUSED(sqe.dst_len = UINT32_MAX);
	REFUSED(sqe.old_first = ARENA - 1; sqe.old_first_len = 2);
	REFUSED(sqe.old_first_len = PAGE_BYTES + 1);
	REFUSED(sqe.old_last = ARENA; sqe.old_last_len = 100);
#undef REFUSED
	good = open_sqe(1, 2, PAGE_BYTES + 100);
#define REFUSED(change)                                                                  \
	do {                                                                             \
		sqe = good;                                                              \
		change;                                                                  \
		assert_int_equal(do_open(rig, &sqe), -EPROTO);                           \
	} while (0)
	REFUSED(sqe.count = 0);
	REFUSED(sqe.count = UINT16_MAX);
	REFUSED(sqe.src_len = PAGE_BYTES);
	REFUSED(sqe.src_len = PAGE_BYTES + PAGE_SEAL_BYTES);
	REFUSED(sqe.src_len = 2 * PAGE_BYTES + 1);
	REFUSED(sqe.src = ARENA - PAGE_BYTES);
	REFUSED(sqe.dst_len = PAGE_DATA_BYTES);
	REFUSED(sqe.dst = UINT32_MAX);
#undef REFUSED
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_come_back),
		cmocka_unit_test(seals_differ_and_hide),
		cmocka_unit_test(any_flipped_bit_is_found_and_nothing_comes_out),
		cmocka_unit_test(a_page_verifies_nowhere_else),
		cmocka_unit_test(holes_only_where_allowed),
		cmocka_unit_test(patches_follow_the_model),
		cmocka_unit_test(a_patch_of_a_damaged_page_seals_nothing),
		cmocka_unit_test(the_header_flags_are_authentic),
		cmocka_unit_test(lying_descriptors_are_refused),
	};

	return cmocka_run_group_tests(tests, rig_up, rig_down);
}
