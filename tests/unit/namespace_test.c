/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ns_fixture.h"

#include <sys/syscall.h>

#include "fs/attr.h"

static void names_with_every_byte(void **state)
{
	struct volume *v = *state;
	char name[3] = "";

	for (int byte = 1; byte < 256; byte++) {
		if (byte == '/')
			continue;
		name[0] = (char)byte;
		name[1] = byte == '.' ? '!' : '\0';
		must_create(v, ROOT, name);
	}
	volume_remount(v);
	assert_int_equal(count_listed(v, ROOT, NULL), 254);
	for (int byte = 1; byte < 256; byte++) {
		if (byte == '/')
			continue;
		name[0] = (char)byte;
		name[1] = byte == '.' ? '!' : '\0';
		assert_int_equal(probe(v, ROOT, name), 0);
		assert_int_equal(count_listed(v, ROOT, name), 1);
	}
}

static void names_of_every_length(void **state)
{
	struct volume *v = *state;

	for (size_t len = 1; len <= 255; len++)
		must_mkdir(v, ROOT, long_name('n', len));
	assert_int_equal(count_backing(v, ROOT, ".name."), 255 - 175);
	volume_remount(v);
	for (size_t len = 1; len <= 255; len++) {
		assert_int_equal(probe(v, ROOT, long_name('n', len)), 0);
		assert_int_equal(count_listed(v, ROOT, long_name('n', len)), 1);
	}
	for (size_t len = 1; len <= 255; len++)
		assert_int_equal(ns_rmdir(W, ROOT, long_name('n', len)), 0);
	assert_int_equal(count_listed(v, ROOT, NULL), 0);
	assert_int_equal(count_backing(v, ROOT, ""), 1); /* the id */
}

static void a_name_of_256_bytes_is_too_long(void **state)
{
	struct volume *v = *state;
	const char *name = long_name('n', 256);
	struct ns_entry entry;

	assert_int_equal(ns_mkdir(W, ROOT, name, 0755, NULL, &entry), -ENAMETOOLONG);
	assert_int_equal(ns_lookup(W, ROOT, name, &entry), -ENAMETOOLONG);
	assert_int_equal(ns_unlink(W, ROOT, name), -ENAMETOOLONG);
	must_create(v, ROOT, "f");
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, name, 0), -ENAMETOOLONG);
}

static void names_that_look_like_ours_are_ordinary(void **state)
{
	static const char *const names[] = {
		".hsmfs",
		".hsmfs.id",
		".long.",
		".long.0123456789012345678901234567890123456789-_A",
		".name.0123456789012345678901234567890123456789-_A",
		"AAAAAAAAAAAAAAAAAAAAAAA",
		".nfs1",
		"...",
	};
	size_t nr = sizeof(names) / sizeof(names[0]);
	struct volume *v = *state;

	for (size_t i = 0; i < nr; i++)
		must_create(v, ROOT, names[i]);
	volume_remount(v);
	assert_int_equal(count_listed(v, ROOT, NULL), nr);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(count_listed(v, ROOT, names[i]), 1);
		assert_int_equal(ns_unlink(W, ROOT, names[i]), 0);
		assert_int_equal(probe(v, ROOT, names[i]), -ENOENT);
	}
}

static void the_volume_directory_never_shows(void **state)
{
	struct volume *v = *state;

	assert_int_equal(mkdirat(v->fs.root_fd, NAME_VOLUME, 0700), 0);
	assert_int_equal(count_listed(v, ROOT, NULL), 0);
	assert_int_equal(probe(v, ROOT, ".hsmfs"), -ENOENT);
	must_create(v, ROOT, "f");
	assert_int_equal(count_listed(v, ROOT, NULL), 1);
}

static void an_empty_directory_needs_no_hsm(void **state)
{
	struct volume *v = *state;

	assert_int_equal(probe(v, ROOT, "absent"), -ENOENT);
	assert_int_equal(ns_unlink(W, ROOT, "absent"), -ENOENT);
	assert_int_equal(count_listed(v, ROOT, NULL), 0);
	assert_int_equal(hsm_batches, 0);
	assert_int_equal(count_backing(v, ROOT, ""), 0);
}

static void a_warm_walk_needs_no_hsm(void **state)
{
	struct volume *v = *state;
	struct inode *dir = must_mkdir(v, ROOT, "d");

	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		must_create(v, dir, name);
	}
	must_create(v, dir, long_name('l', 255));
	volume_remount(v);
	dir = must_find(v, ROOT, "d");
	assert_int_equal(count_listed(v, dir, NULL), 101);
	/* The ids of both directories, the name "d", and one batch for the listing. */
	assert_int_equal(hsm_batches, 4);
	assert_int_equal(probe(v, dir, "f42"), 0);
	assert_int_equal(probe(v, dir, long_name('l', 255)), 0);
	assert_int_equal(count_listed(v, dir, NULL), 101);
	assert_int_equal(hsm_batches, 4);
	names_forget(v->fs.names);
	assert_int_equal(probe(v, dir, "f42"), 0);
	assert_int_equal(hsm_batches, 5);
}

static void the_cache_of_names_is_bounded(void **state)
{
	struct volume *v = *state;
	uint8_t id[PAGE_ID_BYTES] = {1};
	struct name_backing first, again;
	char name[16];

	assert_int_equal(names_seal(W, id, "name-0", &first), 0);
	for (unsigned i = 0; i < 150000; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		assert_int_equal(names_seal(W, id, name, &again), 0);
	}
	assert_int_equal(hsm_batches, 150000);
	assert_int_equal(names_seal(W, id, "name-149999", &again), 0);
	assert_int_equal(hsm_batches, 150000);
	assert_int_equal(names_seal(W, id, "name-0", &again), 0);
	assert_int_equal(hsm_batches, 150001);
	assert_string_equal(first.entry, again.entry);
	id[0] = 2; /* the same name elsewhere is another one */
	assert_int_equal(names_seal(W, id, "name-0", &again), 0);
	assert_string_not_equal(first.entry, again.entry);
}

static void interrupted_while_suspended(void **state)
{
	struct volume *v = *state;
	struct ns_entry entry;

	must_create(v, ROOT, "f");
	volume_remount(v);
	hsm_error = -EINTR;
	assert_int_equal(probe(v, ROOT, "f"), -EINTR);
	assert_int_equal(count_listed(v, ROOT, NULL), -EINTR);
	assert_int_equal(ns_mkdir(W, ROOT, "d", 0755, NULL, &entry), -EINTR);
	assert_int_equal(ns_rename(W, ROOT, "f", ROOT, "g", 0), -EINTR);
	hsm_error = 0;
	assert_int_equal(count_listed(v, ROOT, "f"), 1);
}

static void nothing_stays_of_what_could_not_be_made(void **state)
{
	struct volume *v = *state;
	const char *name = long_name('l', 200);
	struct inode *file = must_create(v, ROOT, "f");
	struct ns_entry entry;

	must_mkdir(v, ROOT, name);
	assert_int_equal(ns_mkdir(W, ROOT, name, 0755, NULL, &entry), -EEXIST);
	assert_int_equal(count_backing(v, ROOT, ".name."), 1);
	assert_int_equal(file_open(W, file, O_RDWR), 0);
	assert_int_equal(ns_unlink(W, ROOT, "f"), 0);
	assert_int_equal(ns_link(W, file, ROOT, long_name('m', 200), &entry), -ENOENT);
	assert_int_equal(count_backing(v, ROOT, ".name."), 1);
	assert_int_equal(count_listed(v, ROOT, name), 1);
}

static void create_honours_exclusive(void **state)
{
	struct volume *v = *state;
	struct ns_entry one, two;

	assert_int_equal(ns_create(W, ROOT, "f", 0600, O_RDWR | O_EXCL, NULL, &one), 0);
	assert_int_equal(one.attr.st_mode, S_IFREG | 0600);
	assert_int_equal(one.inode->file->nr_open, 1);
	assert_int_equal(ns_create(W, ROOT, "f", 0600, O_RDWR | O_EXCL, NULL, &two),
			 -EEXIST);
	assert_int_equal(ns_create(W, ROOT, "f", 0600, O_RDWR, NULL, &two), 0);
	assert_ptr_equal(one.inode, two.inode);
	assert_int_equal(one.inode->file->nr_open, 2);
	assert_int_equal(file_close(W, one.inode), 0);
	assert_int_equal(file_close(W, one.inode), 0);
	must_mkdir(v, ROOT, "d");
	assert_int_equal(ns_create(W, ROOT, "d", 0600, O_RDWR, NULL, &two), -EISDIR);
}

static void new_inodes_belong_to_the_caller(void **state)
{
	struct ns_caller caller = {.uid = 1234, .gid = 5678};
	struct volume *v = *state;
	struct ns_entry dir, file;
	struct stat want = {.st_gid = 77, .st_mode = 02777}, st;

	if (geteuid())
		skip();
	v->fs.give_away = true;
	assert_int_equal(ns_mkdir(W, ROOT, "d", 0755, &caller, &dir), 0);
	assert_int_equal(dir.attr.st_uid, 1234);
	assert_int_equal(dir.attr.st_gid, 5678);
	assert_int_equal(ns_symlink(W, dir.inode, "s", "target", &caller, &file), 0);
	assert_int_equal(file.attr.st_uid, 1234);
	assert_int_equal(
		ns_mknod(W, dir.inode, "suid", S_IFREG | 06755, 0, &caller, &file), 0);
	assert_int_equal(file.attr.st_mode, S_IFREG | 06755);
	assert_int_equal(attr_set(W, dir.inode, ATTR_GID | ATTR_MODE, &want, &st), 0);
	assert_int_equal(ns_create(W, dir.inode, "f", 0600, O_RDWR, &caller, &file), 0);
	assert_int_equal(file.attr.st_uid, 1234);
	assert_int_equal(file.attr.st_gid, 77);
	file_close(W, file.inode);
}

static void symlinks(void **state)
{
	struct volume *v = *state;
	char *target = calloc(1, NAME_TARGET_MAX + 2), *read;
	struct ns_entry entry;
	struct stat st;

	for (size_t len = 1; len <= NAME_TARGET_MAX; len = len * 3 + 1) {
		char name[16];

		snprintf(name, sizeof(name), "s%zu", len);
		memset(target, 't', len);
		assert_int_equal(ns_symlink(W, ROOT, name, target, NULL, &entry), 0);
		assert_int_equal(entry.attr.st_size, len);
		assert_int_equal(attr_get(W, entry.inode, &st), 0);
		assert_int_equal(st.st_size, len);
		assert_int_equal(ns_readlink(W, entry.inode, &read), 0);
		assert_string_equal(read, target);
		free(read);
	}
	memset(target, 't', NAME_TARGET_MAX);
	assert_int_equal(ns_symlink(W, ROOT, "longest", target, NULL, &entry), 0);
	assert_int_equal(entry.attr.st_size, NAME_TARGET_MAX);
	memset(target, 't', NAME_TARGET_MAX + 1);
	assert_int_equal(ns_symlink(W, ROOT, "over", target, NULL, &entry),
			 -ENAMETOOLONG);
	assert_int_equal(ns_symlink(W, ROOT, "none", "", NULL, &entry), -ENOENT);
	assert_int_equal(ns_readlink(W, ROOT, &read), -EINVAL);
	free(target);
}

static void hard_links_are_one_inode(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "one"), *dir = must_mkdir(v, ROOT, "d");
	struct ns_entry entry;
	struct stat st;

	assert_int_equal(ns_link(W, file, dir, "two", &entry), 0);
	assert_ptr_equal(entry.inode, file);
	assert_int_equal(entry.attr.st_nlink, 2);
	assert_int_equal(ns_link(W, file, dir, "two", &entry), -EEXIST);
	assert_int_equal(ns_link(W, dir, ROOT, "dd", &entry), -EPERM);
	assert_int_equal(ns_unlink(W, ROOT, "one"), 0);
	assert_int_equal(file->pin_fd, -1); /* the other name leads to it */
	assert_int_equal(attr_get(W, file, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_ptr_equal(must_find(v, dir, "two"), file);
	assert_int_equal(ns_unlink(W, dir, "two"), 0);
}

/* As the writeback cache does with files that were closed and then removed. */
static void times_of_a_removed_file_can_be_written(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "f"),
		     *other = must_create(v, ROOT, "g");
	struct inode *both[] = {file, other};
	struct stat want = {.st_mode = 0600, .st_size = 100}, st;

	assert_int_equal(attr_set(W, file, ATTR_SIZE, &want, &st), 0);
	assert_int_equal(ns_unlink(W, ROOT, "f"), 0);
	assert_int_equal(ns_unlink(W, ROOT, "g"), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			attr_set(W, both[i], ATTR_MTIME | ATTR_CTIME, &want, &st), 0);
		assert_int_equal(attr_get(W, both[i], &st), 0);
		assert_int_equal(st.st_nlink, 0);
		assert_int_equal(st.st_ino, both[i]->ino);
		assert_int_equal(st.st_size, i ? 0 : 100);
		assert_int_equal(attr_set(W, both[i], ATTR_MODE, &want, &st), -ESTALE);
		assert_int_equal(inode_open_backing(&v->fs, both[i], O_RDONLY), -ESTALE);
	}
}

static void a_link_whose_other_name_is_not_known_stays_usable(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "one");
	struct stat want = {.st_mode = 0600}, st;
	struct ns_entry entry;

	assert_int_equal(ns_link(W, file, ROOT, "two", &entry), 0);
	volume_remount(v);
	file = must_find(v, ROOT, "one");
	assert_int_equal(ns_unlink(W, ROOT, "one"), 0);
	assert_int_equal(attr_get(W, file, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(attr_set(W, file, ATTR_MODE | ATTR_SIZE, &want, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(ns_link(W, file, ROOT, "three", &entry), 0);
	assert_ptr_equal(entry.inode, file);
	assert_int_equal(entry.attr.st_nlink, 2);
	assert_ptr_equal(must_find(v, ROOT, "two"), file);
}

static void an_open_file_outlives_its_name(void **state)
{
	struct volume *v = *state;
	struct stat want = {.st_mode = 0640, .st_size = 5000}, st;
	struct ns_entry entry, other;

	assert_int_equal(ns_create(W, ROOT, "f", 0600, O_RDWR, NULL, &entry), 0);
	assert_int_equal(ns_unlink(W, ROOT, "f"), 0);
	assert_int_equal(probe(v, ROOT, "f"), -ENOENT);
	assert_int_equal(attr_get(W, entry.inode, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(attr_set(W, entry.inode, ATTR_MODE | ATTR_SIZE, &want, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_size, 5000);
	want.st_atim = (struct timespec){.tv_sec = 7};
	assert_int_equal(attr_set(W, entry.inode, ATTR_ATIME, &want, &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 7);
	assert_int_equal(attr_access(W, entry.inode, R_OK), 0);
	assert_int_equal(ns_link(W, entry.inode, ROOT, "g", &other), -ENOENT);
	assert_int_equal(file_open(W, entry.inode, O_RDONLY), 0);
	file_close(W, entry.inode);
	file_close(W, entry.inode);
}

/* The C library's, after which somebody writes to the file. */
static bool write_after_dating;

int utimensat(int dirfd, const char *name, const struct timespec times[2], int flags)
{
	static const struct timespec later[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 77}};
	long ret = syscall(SYS_utimensat, dirfd, name, times, flags);

	if (!ret && write_after_dating)
		ret = syscall(SYS_utimensat, dirfd, name, later, flags);
	return (int)ret;
}

static void a_write_does_not_move_the_time_that_is_being_set(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "f");
	struct stat want = {.st_mtim = {.tv_sec = 1000}}, st;

	write_after_dating = true;
	assert_int_equal(attr_set(W, file, ATTR_MTIME, &want, &st), 0);
	write_after_dating = false;
	assert_int_equal(st.st_mtim.tv_sec, 77);
	/* what closing will set */
	assert_int_equal(inode_mtime(&v->fs, file).tv_sec, 1000);
}

/* A backing inode number that comes back must not bring the old inode back. */
static void a_removed_inode_is_not_found_again(void **state)
{
	struct volume *v = *state;
	struct inode *old[64];
	struct ns_entry entry;
	unsigned reused = 0;

	for (int i = 0; i < 64; i++) {
		if (i % 2)
			old[i] = must_create(v, ROOT, "f");
		else
			old[i] = must_mkdir(v, ROOT, "f");
		assert_int_equal((i % 2 ? ns_unlink : ns_rmdir)(W, ROOT, "f"), 0);
	}
	for (int round = 0; round < 64; round++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", round);
		assert_int_equal(ns_mknod(W, ROOT, name, S_IFREG | 0600, 0, NULL, &entry),
				 0);
		for (int i = 0; i < 64; i++) {
			reused += old[i]->ino == entry.attr.st_ino;
			assert_ptr_not_equal(old[i], entry.inode);
		}
	}
	if (!reused)
		print_message("this file system did not reuse a number\n");
}

static void attributes(void **state)
{
	struct volume *v = *state;
	struct inode *file = must_create(v, ROOT, "f");
	struct stat want = {.st_size = 4033, .st_mode = 0604}, st;
	struct ns_entry link;
	struct statvfs vfs;

	want.st_mtim = (struct timespec){.tv_sec = 1000, .tv_nsec = 5};
	assert_int_equal(
		attr_set(W, file, ATTR_SIZE | ATTR_MODE | ATTR_MTIME, &want, &st), 0);
	assert_int_equal(st.st_size, 4033);
	assert_int_equal(st.st_mode, S_IFREG | 0604);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	want.st_mtim.tv_nsec = UTIME_NOW;
	assert_int_equal(attr_set(W, file, ATTR_MTIME, &want, &st), 0);
	assert_true(st.st_mtim.tv_sec > 1000);
	want.st_size = -1;
	assert_int_equal(attr_set(W, file, ATTR_SIZE, &want, &st), -EINVAL);
	assert_int_equal(attr_set(W, ROOT, ATTR_SIZE, &want, &st), -EISDIR);
	assert_int_equal(attr_get(W, ROOT, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	want.st_mode = 0711;
	assert_int_equal(attr_set(W, ROOT, ATTR_MODE, &want, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(ns_symlink(W, ROOT, "s", "/etc/passwd", NULL, &link), 0);
	assert_int_equal(attr_set(W, link.inode, ATTR_MODE, &want, &st), -EOPNOTSUPP);
	want.st_mtim = (struct timespec){.tv_sec = 1000};
	assert_int_equal(attr_set(W, link.inode, ATTR_MTIME, &want, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(attr_statfs(W, ROOT, &vfs), 0);
	assert_int_equal(vfs.f_namemax, 255);
	assert_int_equal(vfs.f_bsize, 4096);
}

static void the_first_fsync_syncs_what_is_new_above(void **state)
{
	struct volume *v = *state;
	struct inode *a = must_mkdir(v, ROOT, "a"), *b = must_mkdir(v, a, "b");
	struct inode *f = must_create(v, b, "f"), *g;
	struct ns_entry entry;

	assert_int_equal(ns_sync_new(W, f), 0);
	assert_int_equal(blocking_calls, 3); /* b, a and the root */
	assert_int_equal(ns_sync_new(W, f), 0);
	assert_int_equal(blocking_calls, 3);
	g = must_create(v, b, "g");
	assert_int_equal(ns_sync_new(W, g), 0);
	assert_int_equal(blocking_calls, 4); /* b alone */
	assert_int_equal(ns_link(W, g, a, "h", &entry), 0);
	assert_int_equal(ns_link(W, g, ROOT, "i", &entry), 0);
	assert_int_equal(ns_sync_new(W, g), 0);
	assert_int_equal(blocking_calls, 6);
	assert_int_equal(ns_rename(W, b, "f", a, "f", 0), 0);
	assert_int_equal(ns_sync_new(W, f), 0);
	assert_int_equal(blocking_calls, 7);
	assert_int_equal(ns_fsyncdir(W, a, 0), 0);
	assert_int_equal(blocking_calls, 8);
}

/* What is done behind the next look at an entry. */
static struct {
	struct volume *v;
	struct inode *inode; /* NULL: nothing */
	int fd;
} meanwhile;

int __real_fstatat64(int dirfd, const char *name, struct stat *st, int flags);
int __wrap_fstatat64(int dirfd, const char *name, struct stat *st, int flags);

int __wrap_fstatat64(int dirfd, const char *name, struct stat *st, int flags)
{
	int ret = __real_fstatat64(dirfd, name, st, flags);
	struct inode *inode = meanwhile.inode;

	meanwhile.inode = NULL;
	if (inode) {
		assert_int_equal(ftruncate(meanwhile.fd, 3000), 0);
		inode_forget(&meanwhile.v->fs, inode, 1);
	}
	return ret;
}

/* Else the kernel, which then believes its own size, would for good have the old one. */
static void a_file_forgotten_while_it_is_looked_up(void **state)
{
	struct volume *v = *state;
	struct inode *f = must_create(v, ROOT, "f");
	struct ns_entry entry;

	assert_int_equal(ns_link(W, f, ROOT, "g", &entry), 0);
	for (int kept = 0; kept < 2; kept++) {
		volume_remount(v);
		f = must_find(v, ROOT, "f");
		if (kept)
			inode_hold(&v->fs, f);
		meanwhile.v = v;
		meanwhile.fd = inode_open_backing(&v->fs, f, O_RDWR);
		assert_true(meanwhile.fd >= 0);
		assert_int_equal(ftruncate(meanwhile.fd, 2000), 0);
		meanwhile.inode = f;
		assert_int_equal(ns_lookup(W, ROOT, "g", &entry), 0);
		assert_null(meanwhile.inode);
		assert_int_equal(entry.attr.st_size, layout_plain_size(3000));
		assert_int_equal(entry.inode->backing_size, 3000);
		if (kept)
			inode_release(&v->fs, f);
		close(meanwhile.fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_with_every_byte),
		TEST(names_of_every_length),
		TEST(a_name_of_256_bytes_is_too_long),
		TEST(names_that_look_like_ours_are_ordinary),
		TEST(the_volume_directory_never_shows),
		TEST(an_empty_directory_needs_no_hsm),
		TEST(a_warm_walk_needs_no_hsm),
		TEST(the_cache_of_names_is_bounded),
		TEST(interrupted_while_suspended),
		TEST(nothing_stays_of_what_could_not_be_made),
		TEST(create_honours_exclusive),
		TEST(new_inodes_belong_to_the_caller),
		TEST(symlinks),
		TEST(hard_links_are_one_inode),
		TEST(a_link_whose_other_name_is_not_known_stays_usable),
		TEST(an_open_file_outlives_its_name),
		TEST(a_write_does_not_move_the_time_that_is_being_set),
		TEST(a_removed_inode_is_not_found_again),
		TEST(times_of_a_removed_file_can_be_written),
		TEST(attributes),
		TEST(the_first_fsync_syncs_what_is_new_above),
		TEST(a_file_forgotten_while_it_is_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
