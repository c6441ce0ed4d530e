/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ns_fixture.h"

enum { MANY = 2500 };

static void make_many(struct volume *v, struct inode *dir)
{
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof(name), "file-%d", i);
		must_create(v, dir, name);
	}
}

static int number_of(const char *name)
{
	return strncmp(name, "file-", 5) ? -1 : atoi(name + 5);
}

static void each_entry_is_listed_once(void **state)
{
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	int seen[MANY] = {0}, dots = 0;
	struct ns_dir *dir;

	make_many(v, ROOT);
	volume_remount(v);
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
		int number = number_of(entry.name);

		if (number < 0)
			dots++;
		else
			seen[number]++;
		assert_int_equal(entry.type, number < 0 ? DT_DIR : DT_REG);
		assert_true(entry.ino);
	}
	ns_closedir(W, dir);
	assert_int_equal(dots, 2);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(seen[i], 1);
	/* One batch for the id and a few for thousands of names. */
	assert_true(hsm_batches < 12);
}

static void every_offset_can_be_returned_to(void **state)
{
	static char names[MANY + 2][16];
	static uint64_t offsets[MANY + 3];
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int nr = 0;

	make_many(v, ROOT);
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
		snprintf(names[nr++], sizeof(names[0]), "%s", entry.name);
		offsets[nr] = entry.offset;
	}
	assert_int_equal(nr, MANY + 2);
	for (int i = 0; i < nr; i++) {
		int at = (i * 1009) % nr;

		assert_int_equal(ns_readdir(W, dir, offsets[at], &entry), 1);
		assert_string_equal(entry.name, names[at]);
	}
	assert_int_equal(ns_readdir(W, dir, offsets[nr], &entry), 0);
	ns_closedir(W, dir);
}

static void removing_what_is_listed_misses_nothing(void **state)
{
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int nr = 0;

	make_many(v, ROOT);
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
		if (number_of(entry.name) < 0)
			continue;
		assert_int_equal(ns_unlink(W, ROOT, entry.name), 0);
		nr++;
	}
	ns_closedir(W, dir);
	assert_int_equal(nr, MANY);
	assert_int_equal(count_backing(v, ROOT, ""), 1);
}

static void rewinding_shows_what_is_new(void **state)
{
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int nr = 0;

	must_create(v, ROOT, "a");
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0)
		nr++;
	assert_int_equal(nr, 3);
	must_create(v, ROOT, "b");
	assert_int_equal(ns_unlink(W, ROOT, "a"), 0);
	entry.offset = 0;
	while (ns_readdir(W, dir, entry.offset, &entry) > 0)
		nr -= strcmp(entry.name, "b") ? 0 : 1;
	assert_int_equal(nr, 2);
	ns_closedir(W, dir);
}

static void dots_name_the_backing(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	const struct inode *where[] = {ROOT, b}, *above[] = {ROOT, a};

	for (int i = 0; i < 2; i++) {
		struct ns_dirent entry = {0};
		struct ns_dir *dir;

		assert_int_equal(ns_opendir(W, (struct inode *)where[i], &dir), 0);
		while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
			if (!strcmp(entry.name, "."))
				assert_int_equal(entry.ino, where[i]->ino);
			if (!strcmp(entry.name, ".."))
				assert_int_equal(entry.ino, above[i]->ino);
		}
		ns_closedir(W, dir);
	}
}

static void lookup_of_listed_entries_needs_no_hsm(void **state)
{
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	struct ns_entry found;
	struct ns_dir *dir;
	int nr = 0;

	must_create(v, ROOT, "f");
	must_mkdir(v, ROOT, long_name('l', 255));
	volume_remount(v);
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
		unsigned before = hsm_batches;

		if (!strcmp(entry.name, ".") || !strcmp(entry.name, ".."))
			continue;
		assert_int_equal(ns_dirent_lookup(W, dir, &entry, &found), 0);
		assert_int_equal(hsm_batches, before);
		assert_ptr_equal(must_find(v, ROOT, entry.name), found.inode);
		assert_int_equal(found.inode->nr_lookups, 2);
		assert_int_equal(ns_rename(W, ROOT, entry.name, ROOT, "gone", 0), 0);
		assert_int_equal(ns_dirent_lookup(W, dir, &entry, &found), -ENOENT);
		assert_int_equal(ns_rename(W, ROOT, "gone", ROOT, entry.name, 0), 0);
		nr++;
	}
	ns_closedir(W, dir);
	assert_int_equal(nr, 2);
}

static void an_interrupted_listing_goes_on(void **state)
{
	struct volume *v = *state;
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int nr = 0, ret;

	make_many(v, ROOT);
	volume_remount(v);
	assert_int_equal(ns_opendir(W, ROOT, &dir), 0);
	do {
		/* Each batch is refused at first. */
		hsm_error = -EINTR;
		ret = ns_readdir(W, dir, entry.offset, &entry);
		hsm_error = 0;
		if (ret == -EINTR)
			ret = ns_readdir(W, dir, entry.offset, &entry);
		nr += ret > 0;
	} while (ret > 0);
	ns_closedir(W, dir);
	assert_int_equal(ret, 0);
	assert_int_equal(nr, MANY + 2);
}

static const uint8_t some_dir[PAGE_ID_BYTES] = {7};

static void seal_numbered(struct volume *v, int number, struct name_backing *out)
{
	char name[32];

	snprintf(name, sizeof(name), "name-%d", number);
	assert_int_equal(names_seal(W, some_dir, name, out), 0);
}

/* Opens what stands for @nr numbered names; returns how many the HSM had to open. */
static unsigned open_numbered(struct volume *v, const struct name_backing *backing,
			      const int *numbers, size_t nr)
{
	const char *entries[64], *full[64] = {NULL};
	unsigned before = hsm_items;
	char *plain[64], want[32];

	for (size_t i = 0; i < nr; i++)
		entries[i] = backing[i].entry;
	assert_int_equal(names_open(W, some_dir, entries, full, nr, plain), 0);
	for (size_t i = 0; i < nr; i++) {
		snprintf(want, sizeof(want), "name-%d", numbers[i]);
		assert_string_equal(plain[i], want);
		free(plain[i]);
	}
	return hsm_items - before;
}

static void a_full_cache_keeps_what_is_used(void **state)
{
	enum { NAMES = 200000, SOME = 64 }; /* three times what the cache holds */
	static struct name_backing backing[SOME];
	struct name_backing out, kept, again;
	struct volume *v = *state;
	int numbers[SOME];
	unsigned asked;

	seal_numbered(v, -1, &kept);
	asked = hsm_items;
	for (int i = 0; i < NAMES; i++) {
		seal_numbered(v, i, &out);
		if (i % 1000 == 0) {
			seal_numbered(v, -1, &again);
			assert_string_equal(again.entry, kept.entry);
		}
		/* by turns of the first and of the last */
		if (i < SOME && i % 2 == 0) {
			numbers[i] = i;
			backing[i] = out;
		} else if (i >= NAMES - SOME && i % 2) {
			numbers[i - NAMES + SOME] = i;
			backing[i - NAMES + SOME] = out;
		}
	}
	assert_int_equal(hsm_items - asked, NAMES);
	assert_int_equal(open_numbered(v, backing, numbers, SOME), SOME / 2);
	assert_int_equal(open_numbered(v, backing, numbers, SOME), 0);
	names_forget(v->fs.names);
	assert_int_equal(open_numbered(v, backing, numbers, SOME), SOME);
	for (int i = 0; i < SOME; i++) {
		seal_numbered(v, numbers[i], &out);
		assert_string_equal(out.entry, backing[i].entry);
	}
	assert_int_equal(open_numbered(v, backing, numbers, SOME), 0);
}

static void only_directories_can_be_listed(void **state)
{
	struct volume *v = *state;
	struct ns_dir *dir;

	assert_int_equal(ns_opendir(W, must_create(v, ROOT, "f"), &dir), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_entry_is_listed_once),
		TEST(every_offset_can_be_returned_to),
		TEST(removing_what_is_listed_misses_nothing),
		TEST(rewinding_shows_what_is_new),
		TEST(dots_name_the_backing),
		TEST(lookup_of_listed_entries_needs_no_hsm),
		TEST(an_interrupted_listing_goes_on),
		TEST(a_full_cache_keeps_what_is_used),
		TEST(only_directories_can_be_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
