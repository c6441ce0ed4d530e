/* SPDX-License-Identifier: Apache-2.0 */
/* The backing store as an attacker: directories, ids and entries that were tampered with.
 */
#include <sys/resource.h>

#include "tests/unit/ns_fixture.h"

#include "fs/attr.h"

static void an_entry_moved_to_another_directory_is_not_seen(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, ROOT, "b");
	struct name_backing name;
	int fd_a = backing_of(v, a), fd_b = backing_of(v, b);

	must_create(v, a, "secret");
	must_create(v, b, "other");
	name = backing_name(v, a, "secret");
	assert_int_equal(linkat(fd_a, name.entry, fd_b, name.entry, 0), 0);
	assert_int_equal(count_listed(v, b, NULL), 1);
	assert_int_equal(count_listed(v, b, "other"), 1);
	assert_int_equal(probe(v, b, "secret"), -ENOENT);
	assert_int_equal(ns_rmdir(W, ROOT, "b"), -ENOTEMPTY);
	close(fd_a);
	close(fd_b);
}

static void swapped_entries_stay_what_their_names_say(void **state)
{
	struct volume *v = *state;
	struct name_backing one, two;
	struct inode *file;
	struct stat st;

	file = must_create(v, ROOT, "one");
	must_mkdir(v, ROOT, "two");
	one = backing_name(v, ROOT, "one");
	two = backing_name(v, ROOT, "two");
	assert_int_equal(renameat2(v->fs.root_fd, one.entry, v->fs.root_fd, two.entry,
				   RENAME_EXCHANGE),
			 0);
	/* The inode that was "one" is not what stands there now. */
	assert_int_equal(inode_stat(&v->fs, file, &st), -ESTALE);
	assert_int_equal(inode_open_backing(&v->fs, file, O_RDWR), -EISDIR);
	assert_ptr_equal(must_find(v, ROOT, "two"), file);
	assert_int_equal(inode_stat(&v->fs, file, &st), 0);
}

static void replace_id(int fd, const char *target)
{
	assert_int_equal(unlinkat(fd, NAME_DIR_ID, 0), 0);
	if (target)
		assert_int_equal(symlinkat(target, fd, NAME_DIR_ID), 0);
}

/* A directory "d" with a child, of which nothing is cached. Its backing's descriptor. */
static int uncached_dir(struct volume *v, struct inode **dir)
{
	struct inode *made = must_mkdir(v, ROOT, "d");

	must_create(v, made, "child");
	volume_remount(v);
	*dir = must_find(v, ROOT, "d");
	return backing_of(v, *dir);
}

static void expect_no_use(struct volume *v, struct inode *dir, int lookup_error)
{
	struct ns_entry entry;

	assert_int_equal(probe(v, dir, "child"), lookup_error);
	assert_int_equal(count_listed(v, dir, NULL), -EIO);
	assert_int_equal(ns_mkdir(W, dir, "new", 0755, NULL, &entry), -EIO);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
}

static void a_removed_id_is_noticed(void **state)
{
	struct volume *v = *state;
	struct inode *dir;
	int fd = uncached_dir(v, &dir);

	replace_id(fd, NULL);
	expect_no_use(v, dir, -ENOENT);
	assert_int_equal(count_backing(v, dir, NAME_DIR_ID), 0);
	close(fd);
}

static void malformed_ids_are_errors(void **state)
{
	static const char *const bad[] = {
		"x",
		"/etc/passwd",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	};
	struct volume *v = *state;
	struct inode *dir;
	int fd = uncached_dir(v, &dir);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		replace_id(fd, bad[i]);
		expect_no_use(v, dir, -EIO);
	}
	replace_id(fd, NULL);
	assert_int_equal(mkdirat(fd, NAME_DIR_ID, 0755), 0);
	expect_no_use(v, dir, -EIO);
	close(fd);
}

static void a_bit_of_an_id(void **state)
{
	struct volume *v = *state;
	char target[128] = "";
	struct inode *dir;
	int fd = uncached_dir(v, &dir);

	assert_true(readlinkat(fd, NAME_DIR_ID, target, sizeof(target)) == 64);
	target[20] = target[20] == 'A' ? 'B' : 'A';
	replace_id(fd, target);
	expect_no_use(v, dir, -EIO);
	close(fd);
}

static void another_directorys_id_opens_nothing(void **state)
{
	struct volume *v = *state;
	struct inode *dir, *other = must_mkdir(v, ROOT, "other");
	char target[128] = "";
	int fd;

	must_create(v, other, "child");
	fd = backing_of(v, other);
	assert_true(readlinkat(fd, NAME_DIR_ID, target, sizeof(target)) > 0);
	close(fd);
	fd = uncached_dir(v, &dir);
	replace_id(fd, target);
	assert_int_equal(probe(v, dir, "child"), -ENOENT);
	assert_int_equal(count_listed(v, dir, NULL), 0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
	close(fd);
}

static void a_symlinks_target_is_no_id(void **state)
{
	struct volume *v = *state;
	char target[128] = "";
	struct ns_entry entry;
	struct inode *dir;
	int fd;

	/* A sealed blob of the right length, made by us, but for something else. */
	assert_int_equal(ns_symlink(W, ROOT, "s", "0123456789abcdef", NULL, &entry), 0);
	assert_true(readlinkat(v->fs.root_fd, backing_name(v, ROOT, "s").entry, target,
			       sizeof(target)) == 64);
	fd = uncached_dir(v, &dir);
	replace_id(fd, target);
	expect_no_use(v, dir, -EIO);
	close(fd);
}

static void junk_entries_are_not_shown(void **state)
{
	struct volume *v = *state;
	struct name_backing name;
	char entry[300];
	struct inode *dir;
	int fd = uncached_dir(v, &dir);

	name = backing_name(v, dir, "child"); /* 21 bytes: no unused bits */
	assert_int_equal(mkdirat(fd, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0755), 0);
	assert_int_equal(mkdirat(fd, "lost+found", 0755), 0);
	snprintf(entry, sizeof(entry), "%s=", name.entry);
	assert_int_equal(mkdirat(fd, entry, 0755), 0);
	snprintf(entry, sizeof(entry), "%s\n", name.entry);
	assert_int_equal(mkdirat(fd, entry, 0755), 0);
	name.entry[3] ^= 1;
	assert_int_equal(mkdirat(fd, name.entry, 0755), 0);
	assert_int_equal(count_listed(v, dir, NULL), 1);
	assert_int_equal(count_listed(v, dir, "child"), 1);
	close(fd);
}

static void unused_bits_do_not_make_a_second_name(void **state)
{
	struct volume *v = *state;
	struct name_backing name;
	size_t last;

	must_create(v, ROOT, "abcd"); /* 20 sealed bytes: 27 characters, 2 unused bits */
	name = backing_name(v, ROOT, "abcd");
	last = strlen(name.entry) - 1;
	assert_int_equal(last, 26);
	for (char c = 'A'; c <= 'Z'; c++) {
		name.entry[last] = c;
		mkdirat(v->fs.root_fd, name.entry, 0755);
	}
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
}

static void a_missing_side_entry_hides_only_its_name(void **state)
{
	struct volume *v = *state;
	const char *name = long_name('l', 200);
	struct name_backing backing;
	struct ns_entry entry;

	must_create(v, ROOT, "f");
	must_create(v, ROOT, name);
	backing = backing_name(v, ROOT, name);
	assert_int_equal(unlinkat(v->fs.root_fd, backing.side, 0), 0);
	volume_remount(v);
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
	assert_int_equal(probe(v, ROOT, name), 0);
	/* Whoever makes the name again mends it. */
	assert_int_equal(ns_create(W, ROOT, name, 0600, O_RDWR, NULL, &entry), 0);
	assert_int_equal(file_close(W, entry.inode), 0);
	assert_int_equal(probe(v, ROOT, name), 0);
	assert_int_equal(ns_unlink(W, ROOT, name), 0);
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
}

static void wrong_side_entries(void **state)
{
	struct volume *v = *state;
	const char *one = long_name('1', 200), *two = long_name('2', 200);
	struct name_backing first, second;
	int root = v->fs.root_fd, fd;

	must_create(v, ROOT, one);
	must_create(v, ROOT, two);
	first = backing_name(v, ROOT, one);
	second = backing_name(v, ROOT, two);
	assert_int_equal(renameat2(root, first.side, root, second.side, RENAME_EXCHANGE),
			 0);
	volume_remount(v);
	root = v->fs.root_fd;
	assert_int_equal(count_listed(v, ROOT, NULL), 0);
	assert_int_equal(unlinkat(root, first.side, 0), 0);
	fd = openat(root, first.side, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(unlinkat(root, second.side, 0), 0);
	assert_int_equal(symlinkat(second.full, root, second.side), 0);
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
	assert_int_equal(count_listed(v, ROOT, two), 1);
	assert_int_equal(ns_unlink(W, ROOT, one), 0);
	assert_int_equal(count_backing(v, ROOT, ".name."), 1);
}

static void a_spoilt_side_entry_is_replaced_when_the_name_is_made(void **state)
{
	struct volume *v = *state;
	const char *name = long_name('l', 200);
	struct name_backing backing;

	must_create(v, ROOT, "f");
	backing = backing_name(v, ROOT, name);
	assert_int_equal(symlinkat("/etc/passwd", v->fs.root_fd, backing.side), 0);
	must_create(v, ROOT, name);
	volume_remount(v);
	assert_int_equal(count_listed(v, ROOT, name), 1);
}

static void a_directory_swapped_for_a_symlink_is_not_followed(void **state)
{
	struct volume *v = *state;
	struct inode *dir = must_mkdir(v, ROOT, "d"), *file = must_create(v, ROOT, "f");
	struct name_backing d = backing_name(v, ROOT, "d"),
			    f = backing_name(v, ROOT, "f");
	struct stat want = {.st_mode = 0777}, st, before, after;
	struct ns_entry entry;
	char outside[] = P_tmpdir "/hsmfs-outside-XXXXXX";
	int root = v->fs.root_fd;

	assert_non_null(mkdtemp(outside));
	assert_int_equal(stat(outside, &before), 0);
	assert_int_equal(unlinkat(root, d.entry, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat(outside, root, d.entry), 0);
	assert_int_equal(unlinkat(root, f.entry, 0), 0);
	assert_int_equal(symlinkat(outside, root, f.entry), 0);
	assert_int_equal(ns_mkdir(W, dir, "x", 0755, NULL, &entry), -ESTALE);
	assert_int_equal(probe(v, dir, "x"), -ESTALE);
	assert_int_equal(inode_open_backing(&v->fs, dir, O_RDONLY), -ENOTDIR);
	assert_int_equal(inode_open_backing(&v->fs, file, O_RDWR), -ESTALE);
	assert_true(attr_set(W, file, ATTR_MODE, &want, &st) < 0);
	assert_true(attr_set(W, file, ATTR_UID | ATTR_ATIME, &want, &st) < 0);
	assert_int_equal(stat(outside, &after), 0);
	assert_int_equal(before.st_mode, after.st_mode);
	assert_int_equal(before.st_uid, after.st_uid);
	assert_int_equal(rmdir(outside), 0);
}

static void a_fifo_in_place_of_a_file_does_not_stall(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "f");
	struct name_backing name = backing_name(v, ROOT, "f");

	assert_int_equal(unlinkat(v->fs.root_fd, name.entry, 0), 0);
	assert_int_equal(mkfifoat(v->fs.root_fd, name.entry, 0600), 0);
	assert_int_equal(inode_open_backing(&v->fs, file, O_RDONLY), -ESTALE);
	assert_true(inode_open_backing(&v->fs, file, O_WRONLY) < 0);
}

static void tampered_symlinks(void **state)
{
	static const char *const bad[] = {
		"/etc/passwd", "AAAA", "A",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	struct volume *v = *state;
	char *target;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct name_backing name;
		struct ns_entry entry;
		struct stat st;

		assert_int_equal(ns_symlink(W, ROOT, "s", "target", NULL, &entry), 0);
		name = backing_name(v, ROOT, "s");
		assert_int_equal(unlinkat(v->fs.root_fd, name.entry, 0), 0);
		assert_int_equal(symlinkat(bad[i], v->fs.root_fd, name.entry), 0);
		assert_int_equal(ns_lookup(W, ROOT, "s", &entry), 0);
		assert_int_equal(ns_readlink(W, entry.inode, &target), -EIO);
		assert_int_equal(attr_get(W, entry.inode, &st), 0);
		assert_true(st.st_size >= 0);
		assert_int_equal(ns_unlink(W, ROOT, "s"), 0);
	}
}

/* Directories moved behind our back must not send us round in a ring. */
static void a_ring_of_parents_ends(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	int fd_a = backing_of(v, a), fd_b = backing_of(v, b), root = v->fs.root_fd;
	struct name_backing name_a, name_b;
	struct stat st;

	must_create(v, b, "x");
	name_a = backing_name(v, ROOT, "a");
	name_b = backing_name(v, a, "b");
	assert_int_equal(renameat(fd_a, name_b.entry, root, name_b.entry), 0);
	name_b = backing_name(v, b, "a");
	assert_int_equal(renameat(root, name_a.entry, fd_b, name_b.entry), 0);
	assert_ptr_equal(must_find(v, b, "a"), a);
	/* No descriptor of either is cached any more. */
	for (int i = 0; i < 64; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%d", i);
		must_create(v, must_mkdir(v, ROOT, name), "f");
	}
	assert_int_equal(inode_stat(&v->fs, a, &st), -ESTALE);
	assert_int_equal(probe(v, b, "x"), -ESTALE);
	close(fd_a);
	close(fd_b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_entry_moved_to_another_directory_is_not_seen),
		TEST(swapped_entries_stay_what_their_names_say),
		TEST(a_removed_id_is_noticed),
		TEST(malformed_ids_are_errors),
		TEST(a_bit_of_an_id),
		TEST(another_directorys_id_opens_nothing),
		TEST(a_symlinks_target_is_no_id),
		TEST(junk_entries_are_not_shown),
		TEST(unused_bits_do_not_make_a_second_name),
		TEST(a_missing_side_entry_hides_only_its_name),
		TEST(wrong_side_entries),
		TEST(a_spoilt_side_entry_is_replaced_when_the_name_is_made),
		TEST(a_directory_swapped_for_a_symlink_is_not_followed),
		TEST(a_fifo_in_place_of_a_file_does_not_stall),
		TEST(tampered_symlinks),
		TEST(a_ring_of_parents_ends),
	};
	struct rlimit limit;

	/* So that the descriptor cache is small. */
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	limit.rlim_cur = 96;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
