/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes found by their numbers alone, as file handles want it. */
#include "tests/unit/ns_fixture.h"

/* Has the table forget everything but the root. */
static void forget_all(struct volume *v)
{
	inode_table_destroy(v->fs.inodes);
	assert_int_equal(inode_table_create(&v->fs, v->fs.root_fd, &v->fs.inodes), 0);
}

/* Without file handles of the store's own, numbers do not last. */
static void need_handles(struct volume *v)
{
	if (!inode_mark(v->fs.root_fd, ""))
		skip();
}

static void finds(struct volume *v, uint64_t id, uint32_t generation)
{
	struct ns_entry entry;

	assert_int_equal(ns_lookup_id(W, id, &entry), 0);
	assert_int_equal(entry.inode->id, id);
	assert_int_equal(entry.inode->generation, generation);
	assert_int_equal(entry.attr.st_ino, entry.inode->ino);
	inode_forget(&v->fs, entry.inode, 1);
}

static void forgotten_ones_are_found(void **state)
{
	struct volume *v = *state;
	struct inode *dir = ROOT, *file;
	uint64_t ids[40];
	uint32_t generations[40];

	need_handles(v);
	for (int i = 0; i < 39; i++) {
		dir = must_mkdir(v, dir, i % 2 ? "d" : long_name('d', 255));
		ids[i] = dir->id;
		generations[i] = dir->generation;
	}
	file = must_create(v, dir, "f");
	ids[39] = file->id;
	generations[39] = file->generation;
	forget_all(v);
	for (int i = 39; i >= 0; i--)
		finds(v, ids[i], generations[i]);
}

static void parents_are_found(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	uint64_t a_id = a->id, b_id = b->id;
	struct ns_entry entry, parent;

	need_handles(v);
	forget_all(v);
	assert_int_equal(ns_lookup_id(W, b_id, &entry), 0);
	assert_int_equal(ns_lookup_parent(W, entry.inode, &parent), 0);
	assert_int_equal(parent.inode->id, a_id);
	assert_int_equal(ns_lookup_parent(W, parent.inode, &entry), 0);
	assert_ptr_equal(entry.inode, ROOT);
	assert_int_equal(entry.inode->id, 1);
}

static void removed_ones_are_not(void **state)
{
	struct volume *v = *state;
	struct ns_entry entry;
	uint64_t ids[64];
	char name[16];

	for (int i = 0; i < 64; i++) {
		ids[i] = must_create(v, ROOT, "f")->id;
		assert_int_equal(ns_unlink(W, ROOT, "f"), 0);
	}
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		must_create(v, ROOT, name);
	}
	for (int i = 0; i < 64; i++)
		assert_int_equal(ns_lookup_id(W, ids[i], &entry), -ESTALE);
	forget_all(v);
	for (int i = 0; i < 64; i++)
		assert_int_equal(ns_lookup_id(W, ids[i], &entry), -ESTALE);
	for (uint64_t id = 2; id; id <<= 1)
		assert_int_equal(ns_lookup_id(W, id, &entry), -ESTALE);
}

/* Numbers of the store come back while the kernel still knows who had them before. */
static void numbers_are_unique(void **state)
{
	struct volume *v = *state;
	struct inode *known[200];

	for (int i = 0; i < 200; i++) {
		known[i] = must_create(v, ROOT, "f");
		for (int k = 0; k < i; k++)
			assert_int_not_equal(known[k]->id, known[i]->id);
		assert_ptr_equal(inode_by_id(&v->fs, known[i]->id), known[i]);
		assert_int_equal(ns_unlink(W, ROOT, "f"), 0);
	}
	for (int i = 0; i < 200; i++)
		assert_ptr_equal(inode_by_id(&v->fs, known[i]->id), known[i]);
}

struct mover {
	struct volume *v;
	struct inode *a, *b;
	bool stop; /* atomic */
};

/* To and fro, by renaming and by linking. */
static void *move(void *arg)
{
	struct mover *m = arg;
	struct volume *v = m->v;
	struct ns_entry entry;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
		assert_int_equal(ns_rename(W, m->a, "f", m->b, "f", 0), 0);
		assert_int_equal(ns_lookup(W, m->b, "f", &entry), 0);
		assert_int_equal(ns_link(W, entry.inode, m->a, "f", &entry), 0);
		assert_int_equal(ns_unlink(W, m->b, "f"), 0);
		inode_forget(&v->fs, entry.inode, 2);
	}
	return NULL;
}

static void what_moves_meanwhile_is_found(void **state)
{
	struct volume *v = *state;
	struct mover m = {v, must_mkdir(v, ROOT, "a"), must_mkdir(v, ROOT, "b"), false};
	struct inode *file = must_create(v, m.a, "f");
	uint64_t id = file->id;
	uint32_t generation = file->generation;
	pthread_t thread;

	need_handles(v);
	for (int i = 0; i < 100; i++) {
		char name[24];

		snprintf(name, sizeof(name), "other-%d", i);
		must_create(v, i % 2 ? m.a : m.b, name);
	}
	inode_forget(&v->fs, file, file->nr_lookups);
	assert_int_equal(pthread_create(&thread, NULL, move, &m), 0);
	for (int i = 0; i < 300; i++)
		finds(v, id, generation);
	__atomic_store_n(&m.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(forgotten_ones_are_found),	     TEST(parents_are_found),
		TEST(removed_ones_are_not),	     TEST(numbers_are_unique),
		TEST(what_moves_meanwhile_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
