/* SPDX-License-Identifier: Apache-2.0 */
/* Renaming and removing. */
#include <sys/resource.h>

#include "fs/attr.h"
#include "tests/unit/ns_fixture.h"

/* Renames of @from to @to (short and long in any combination) with nothing in the way. */
static void rename_between(struct volume *v, struct inode *from_dir, const char *from,
			   struct inode *to_dir, const char *to)
{
	struct inode *file = must_create(v, from_dir, from);
	struct stat st;

	assert_int_equal(ns_rename(W, from_dir, from, to_dir, to, 0), 0);
	assert_int_equal(probe(v, from_dir, from), -ENOENT);
	assert_ptr_equal(must_find(v, to_dir, to), file);
	assert_int_equal(count_listed(v, to_dir, to), 1);
	assert_int_equal(count_backing(v, from_dir, ".name.") +
				 count_backing(v, to_dir, ".name."),
			 (strlen(to) > 175 ? 1 : 0) * (from_dir == to_dir ? 2 : 1));
	assert_int_equal(inode_stat(&v->fs, file, &st), 0);
	assert_int_equal(ns_unlink(W, to_dir, to), 0);
	assert_int_equal(count_backing(v, to_dir, ".name."), 0);
}

static void rename_short_and_long(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, ROOT, "b");
	const char *names[] = {"f", long_name('l', 176), long_name('m', 255)};

	for (int from = 0; from < 3; from++) {
		for (int to = 0; to < 3; to++) {
			rename_between(v, a, names[from], b, names[to]);
			if (from != to)
				rename_between(v, a, names[from], a, names[to]);
		}
	}
}

/* Between looking a name up and opening what it leads to, it may be replaced. */
static void a_replaced_file_can_be_opened(void **state)
{
	struct volume *v = *state;
	struct inode *victim = must_create(v, ROOT, "f");
	struct stat st;

	must_create(v, ROOT, "g");
	assert_int_equal(ns_rename(W, ROOT, "g", ROOT, "f", 0), 0);
	assert_int_equal(file_open(W, victim, O_RDONLY), 0);
	assert_int_equal(inode_stat(&v->fs, victim, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	file_close(W, victim);
	/* also after whoever had it open has closed it */
	assert_int_equal(file_open(W, victim, O_RDWR), 0);
	file_close(W, victim);
	/* the writeback cache writes its times until it is forgotten */
	st.st_mtim = (struct timespec){.tv_sec = 1000};
	assert_int_equal(attr_set(W, victim, ATTR_MTIME, &st, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(st.st_nlink, 0);
}

static void a_replaced_symlink_can_be_read(void **state)
{
	struct volume *v = *state;
	struct ns_entry entry;
	struct inode *victim;
	char *target;

	assert_int_equal(ns_symlink(W, ROOT, "link", "old", NULL, &entry), 0);
	victim = entry.inode;
	assert_int_equal(ns_symlink(W, ROOT, "next", "new", NULL, &entry), 0);
	assert_int_equal(ns_rename(W, ROOT, "next", ROOT, "link", 0), 0);
	assert_int_equal(ns_readlink(W, victim, &target), 0);
	assert_string_equal(target, "old");
	free(target);
}

static void rename_replaces_a_file(void **state)
{
	struct volume *v = *state;
	const char *name = long_name('l', 200);
	struct inode *file = must_create(v, ROOT, "f"), *victim;
	struct ns_entry entry;
	struct stat st;

	assert_int_equal(ns_create(W, ROOT, name, 0600, O_RDWR, NULL, &entry), 0);
	victim = entry.inode;
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, name, RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, name, 0), 0);
	assert_ptr_equal(must_find(v, ROOT, name), file);
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
	assert_int_equal(count_backing(v, ROOT, ".name."), 1);
	assert_int_equal(inode_stat(&v->fs, victim, &st), 0); /* it is open */
	assert_int_equal(st.st_nlink, 0);
	file_close(W, victim);
}

static void rename_of_links_to_one_inode_does_nothing(void **state)
{
	struct volume *v = *state;
	const char *one = long_name('1', 200), *two = long_name('2', 200);
	struct inode *file = must_create(v, ROOT, one);
	struct ns_entry entry;

	assert_int_equal(ns_link(W, file, ROOT, two, &entry), 0);
	assert_int_equal(ns_rename(W, ROOT, one, ROOT, two, 0), 0);
	assert_int_equal(ns_rename(W, ROOT, one, ROOT, one, 0), 0);
	assert_int_equal(ns_rename(W, ROOT, one, ROOT, two, RENAME_EXCHANGE), 0);
	assert_int_equal(ns_rename(W, ROOT, one, ROOT, two, RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(count_listed(v, ROOT, one), 1);
	assert_int_equal(count_listed(v, ROOT, two), 1);
	assert_int_equal(ns_unlink(W, ROOT, one), 0);
	assert_int_equal(ns_unlink(W, ROOT, two), 0);
}

static void exchange(void **state)
{
	struct volume *v = *state;
	const char *one = long_name('1', 200), *two = long_name('2', 200);
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, ROOT, "b");
	struct inode *file = must_create(v, a, one), *dir = must_mkdir(v, b, two);
	struct inode *child = must_create(v, dir, "child");
	struct stat st;

	assert_int_equal(ns_rename(W, a, one, b, "absent", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(ns_rename(W, a, "absent", b, two, RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(ns_rename(W, a, one, b, two, RENAME_EXCHANGE), 0);
	assert_ptr_equal(must_find(v, a, one), dir);
	assert_ptr_equal(must_find(v, b, two), file);
	assert_int_equal(inode_stat(&v->fs, child, &st), 0);
	volume_remount(v);
	a = must_find(v, ROOT, "a");
	b = must_find(v, ROOT, "b");
	assert_int_equal(count_listed(v, a, one), 1);
	assert_int_equal(count_listed(v, b, two), 1);
	assert_int_equal(probe(v, must_find(v, a, one), "child"), 0);
	assert_int_equal(ns_unlink(W, b, two), 0);
}

static void unknown_flags_are_refused(void **state)
{
	struct volume *v = *state;

	must_create(v, ROOT, "f");
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, "g", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, "g", 0x80), -EINVAL);
	assert_int_equal(
		ns_rename(W, ROOT, "f", ROOT, "g", RENAME_NOREPLACE | RENAME_EXCHANGE),
		-EINVAL);
	assert_int_equal(probe(v, ROOT, "f"), 0);
}

static void what_is_below_a_renamed_directory_is_found(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	struct inode *file = must_create(v, b, "f"), *to = must_mkdir(v, ROOT, "to");
	struct stat st;

	assert_int_equal(ns_rename(W, ROOT, "a", to, long_name('a', 255), 0), 0);
	assert_int_equal(inode_stat(&v->fs, file, &st), 0);
	assert_ptr_equal(must_find(v, b, "f"), file);
	must_create(v, b, "g");
	volume_remount(v);
	to = must_find(v, ROOT, "to");
	b = must_find(v, must_find(v, to, long_name('a', 255)), "b");
	assert_int_equal(count_listed(v, b, NULL), 2);
}

static void a_directory_replaces_an_empty_one(void **state)
{
	struct volume *v = *state;
	struct inode *from = must_mkdir(v, ROOT, "from"),
		     *victim = must_mkdir(v, ROOT, "to");
	struct ns_entry entry;
	int fd;

	must_create(v, from, "child");
	must_create(v, victim, "x");
	assert_int_equal(ns_rename(W, ROOT, "from", ROOT, "to", 0), -ENOTEMPTY);
	assert_int_equal(probe(v, victim, "x"), 0);
	assert_int_equal(ns_unlink(W, victim, "x"), 0);
	fd = backing_of(v, victim);
	/* A side entry that a crash left behind. */
	assert_int_equal(symlinkat("stray", fd,
				   ".name.0123456789012345678901234567890123456789-_A"),
			 0);
	close(fd);
	assert_int_equal(count_backing(v, victim, ""), 2);
	assert_int_equal(ns_rename(W, ROOT, "from", ROOT, "to", 0), 0);
	assert_ptr_equal(must_find(v, ROOT, "to"), from);
	assert_int_equal(probe(v, from, "child"), 0);
	/* Whoever stands in the replaced one can do nothing there. */
	assert_int_equal(count_listed(v, victim, NULL), -ENOENT);
	assert_int_equal(probe(v, victim, "x"), -ENOENT);
	assert_int_equal(ns_mkdir(W, victim, "d", 0755, NULL, &entry), -ENOENT);
}

static void a_failed_rename_leaves_all_as_it_was(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	struct inode *empty = must_mkdir(v, b, "empty");

	must_create(v, empty, "x");
	assert_int_equal(ns_unlink(W, empty, "x"), 0);
	must_create(v, ROOT, "f");
	/* Into itself, with a long name and with an empty directory in the way. */
	assert_int_equal(ns_rename(W, ROOT, "a", b, long_name('l', 255), 0), -EINVAL);
	assert_int_equal(count_backing(v, b, ".name."), 0);
	assert_int_equal(ns_rename(W, ROOT, "a", b, "empty", 0), -EINVAL);
	assert_int_equal(count_backing(v, empty, NAME_DIR_ID), 1);
	assert_int_equal(empty->pin_fd, -1);
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, "a", 0), -EISDIR);
	assert_int_equal(ns_rename(W, ROOT, "a", ROOT, "f", 0), -ENOTDIR);
	assert_int_equal(ns_rename(W, ROOT, "absent", ROOT, long_name('l', 255), 0),
			 -ENOENT);
	assert_int_equal(count_backing(v, ROOT, ".name."), 0);
	must_create(v, empty, "y");
	volume_remount(v);
	b = must_find(v, must_find(v, ROOT, "a"), "b");
	assert_int_equal(probe(v, must_find(v, b, "empty"), "y"), 0);
}

static void remove_checks_types(void **state)
{
	struct volume *v = *state;

	must_mkdir(v, ROOT, "d");
	must_create(v, ROOT, "f");
	assert_int_equal(ns_unlink(W, ROOT, "d"), -EISDIR);
	assert_int_equal(ns_rmdir(W, ROOT, "f"), -ENOTDIR);
	assert_int_equal(ns_rmdir(W, ROOT, "absent"), -ENOENT);
	assert_int_equal(count_listed(v, ROOT, NULL), 2);
}

static void rmdir_wants_an_empty_directory(void **state)
{
	struct volume *v = *state;
	struct inode *dir = must_mkdir(v, ROOT, "d");
	int fd = backing_of(v, dir);

	must_create(v, dir, "f");
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(probe(v, dir, "f"), 0);
	assert_int_equal(ns_unlink(W, dir, "f"), 0);
	/* Somebody else's file is not ours to remove. */
	assert_int_equal(mkdirat(fd, "foreign", 0755), 0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(unlinkat(fd, "foreign", AT_REMOVEDIR), 0);
	/* The store refuses although all looked well: the id comes back. */
	assert_int_equal(mkdirat(fd, NAME_VOLUME, 0755), 0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(count_backing(v, dir, NAME_DIR_ID), 1);
	assert_int_equal(dir->pin_fd, -1);
	assert_int_equal(unlinkat(fd, NAME_VOLUME, AT_REMOVEDIR), 0);
	must_create(v, dir, "g");
	volume_remount(v);
	dir = must_find(v, ROOT, "d");
	assert_int_equal(ns_unlink(W, dir, "g"), 0);
	assert_int_equal(
		symlinkat("x", fd, ".name.0123456789012345678901234567890123456789-_A"),
		0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), 0);
	assert_int_equal(count_listed(v, dir, NULL), -ENOENT);
	close(fd);
}

/* The owner may remove an empty directory whatever its mode. */
static void rmdir_of_a_closed_directory(void **state)
{
	struct volume *v = *state;
	struct inode *dir = must_mkdir(v, ROOT, "d");
	struct ns_entry entry;
	int fd = backing_of(v, dir);
	struct stat st;

	must_create(v, dir, "f");
	assert_int_equal(fchmod(fd, 0), 0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), -ENOTEMPTY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0);
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(ns_unlink(W, dir, "f"), 0);
	assert_int_equal(fchmod(fd, 0), 0);
	assert_int_equal(ns_rmdir(W, ROOT, "d"), 0);
	assert_int_equal(ns_lookup(W, ROOT, "d", &entry), -ENOENT);
	close(fd);
}

static unsigned nr_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static void descriptors_are_bounded(void **state)
{
	struct volume *v = *state;
	struct inode *dir = ROOT, *deep[300];
	unsigned before = nr_open_fds();
	struct stat st;

	/* The table's limit is a quarter of RLIMIT_NOFILE, which main() has lowered. */
	for (int i = 0; i < 300; i++) {
		dir = must_mkdir(v, dir, "deeper");
		deep[i] = dir;
		must_create(v, dir, "f");
	}
	assert_true(nr_open_fds() <= before + 32);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(inode_stat(&v->fs, deep[i * 7 % 300], &st), 0);
		assert_int_equal(probe(v, deep[i * 11 % 300], "f"), 0);
	}
	assert_true(nr_open_fds() <= before + 32);
	for (int i = 0; i < 300; i++) {
		inode_forget(&v->fs, deep[299 - i], 1);
		inode_forget(&v->fs, must_find(v, ROOT, "deeper"), 1);
	}
}

static void nothing_is_left_when_all_is_forgotten(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	struct inode *file = must_create(v, b, "f");
	unsigned before = nr_open_fds();
	struct stat st;

	/* Parents first, as the kernel may well do. */
	inode_forget(&v->fs, a, 1);
	inode_forget(&v->fs, b, 1);
	assert_int_equal(inode_stat(&v->fs, file, &st), 0);
	inode_forget(&v->fs, file, 1);
	assert_int_equal(nr_open_fds(), before - 2);
}

/* --- races --- */

struct racer {
	struct volume *v;
	pthread_t thread;
	unsigned seed;
};

static const char *some_name(unsigned *seed)
{
	static const char *const names[] = {"a", "b", "c", NULL};
	static char longer[256];
	const char *name = names[rand_r(seed) % 4];

	if (!longer[0])
		memset(longer, 'l', 200);
	return name ? name : longer;
}

static void one_step(struct volume *v, struct inode *dir, unsigned *seed)
{
	const char *name = some_name(seed), *other = some_name(seed);
	struct ns_entry entry;
	int ret = -1;

	switch (rand_r(seed) % 7) {
	case 0:
		ret = ns_mkdir(W, dir, name, 0755, NULL, &entry);
		break;
	case 1:
		ret = ns_mknod(W, dir, name, S_IFREG | 0644, 0, NULL, &entry);
		break;
	case 2:
		ns_rmdir(W, dir, name);
		break;
	case 3:
		ns_unlink(W, dir, name);
		break;
	case 4:
		ns_rename(W, dir, name, ROOT, other,
			  rand_r(seed) % 3 ? 0 : RENAME_EXCHANGE);
		break;
	case 5:
		ret = ns_lookup(W, dir, name, &entry);
		break;
	case 6:
		count_listed(v, dir, NULL);
		break;
	}
	if (ret)
		return;
	if (S_ISDIR(entry.inode->type) && rand_r(seed) % 2)
		one_step(v, entry.inode, seed);
	inode_forget(&v->fs, entry.inode, 1);
}

static void *race(void *arg)
{
	struct racer *racer = arg;

	for (int i = 0; i < 1500; i++)
		one_step(racer->v, inode_root(&racer->v->fs), &racer->seed);
	return NULL;
}

/* Everything listed can be looked up, and nothing is hidden. */
static void check_tree(struct volume *v, struct inode *inode)
{
	struct ns_dirent entry = {0};
	struct ns_dir *dir;
	int listed = 0, sides = 0;

	assert_int_equal(ns_opendir(W, inode, &dir), 0);
	while (ns_readdir(W, dir, entry.offset, &entry) > 0) {
		struct ns_entry found;

		if (!strcmp(entry.name, ".") || !strcmp(entry.name, ".."))
			continue;
		listed++;
		sides += strlen(entry.name) > 175;
		assert_int_equal(ns_lookup(W, inode, entry.name, &found), 0);
		if (S_ISDIR(found.inode->type))
			check_tree(v, found.inode);
		inode_forget(&v->fs, found.inode, 1);
	}
	ns_closedir(W, dir);
	assert_int_equal(count_backing(v, inode, ".name."), sides);
	assert_int_equal(count_backing(v, inode, ""),
			 listed + sides + count_backing(v, inode, NAME_DIR_ID));
}

static void races_leave_a_sound_tree(void **state)
{
	struct volume *v = *state;
	struct racer racers[4];
	unsigned before;

	/* a directory that was listed may keep a descriptor */
	count_listed(v, must_mkdir(v, ROOT, "warm"), NULL);
	before = nr_open_fds();
	for (unsigned i = 0; i < 4; i++) {
		racers[i] = (struct racer){.v = v, .seed = i};
		pthread_create(&racers[i].thread, NULL, race, &racers[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(racers[i].thread, NULL);
	check_tree(v, ROOT);
	assert_int_equal(nr_open_fds(), before);
	volume_remount(v);
	check_tree(v, ROOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rename_short_and_long),
		TEST(a_replaced_file_can_be_opened),
		TEST(a_replaced_symlink_can_be_read),
		TEST(rename_replaces_a_file),
		TEST(rename_of_links_to_one_inode_does_nothing),
		TEST(exchange),
		TEST(unknown_flags_are_refused),
		TEST(what_is_below_a_renamed_directory_is_found),
		TEST(a_directory_replaces_an_empty_one),
		TEST(a_failed_rename_leaves_all_as_it_was),
		TEST(remove_checks_types),
		TEST(rmdir_wants_an_empty_directory),
		TEST(rmdir_of_a_closed_directory),
		TEST(descriptors_are_bounded),
		TEST(nothing_is_left_when_all_is_forgotten),
		TEST(races_leave_a_sound_tree),
	};
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	limit.rlim_cur = 96;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
