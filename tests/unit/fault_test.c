/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system call of the backing store fails, one after the other, in every kind of
 * change: what was there before is there after, and no byte is wrong.
 */
#include "tests/unit/store_fixture.h"

struct scenario {
	const char *name;
	struct step before[5]; /* then fsync */
	struct step change;
};

#define PAGE(n) ((n) * (uint64_t)PAGE_DATA_BYTES - PAGE_HEADER_BYTES)

static const struct scenario scenarios[] = {
	{"first write", {{NONE, 0, 0}}, {WRITE, 0, 10000}},
	{"first write behind a gap", {{NONE, 0, 0}}, {WRITE, PAGE(5) + 7, 5000}},
	{"first page", {{NONE, 0, 0}}, {WRITE, PAGE(1) + 7, 50}},
	{"overwrite", {{WRITE, 0, 20000}}, {WRITE, 3000, 12000}},
	{"overwrite of the last page",
	 {{WRITE, 0, 9000}},
	 {WRITE, PAGE(2), 9000 - PAGE(2)}},
	{"append within a page", {{WRITE, 0, 9000}}, {WRITE, 9000, 500}},
	{"append over a page's end", {{WRITE, 0, 9000}}, {WRITE, 9000, 15000}},
	{"append to a full page", {{WRITE, 0, PAGE(2)}}, {WRITE, PAGE(2), 9000}},
	{"overwrite and append", {{WRITE, 0, 9000}}, {WRITE, 100, 20000}},
	{"write behind a gap", {{WRITE, 0, 9000}}, {WRITE, 30000, 9000}},
	{"write behind a gap, one page", {{WRITE, 0, 3000}}, {WRITE, 30000, 9000}},
	{"write after a second growth",
	 {{WRITE, 0, 5000}, {FSYNC, 0, 0}, {WRITE, 5000, 100}},
	 {WRITE, 5100, 100}},
	{"growing from nothing", {{NONE, 0, 0}}, {TRUNCATE, 5000, 0}},
	{"growing from nothing, far", {{NONE, 0, 0}}, {TRUNCATE, 30000, 0}},
	{"growing within a page", {{WRITE, 0, 9000}}, {TRUNCATE, 10000, 0}},
	{"growing by a page", {{WRITE, 0, 9000}}, {TRUNCATE, 14000, 0}},
	{"growing by a hole", {{WRITE, 0, 9000}}, {TRUNCATE, 40000, 0}},
	{"growing by a second hole",
	 {{WRITE, 0, 9000}, {TRUNCATE, 20000, 0}},
	 {TRUNCATE, 40000, 0}},
	{"shrinking within a page", {{WRITE, 0, 9000}}, {TRUNCATE, 8500, 0}},
	{"shrinking", {{WRITE, 0, 30000}}, {TRUNCATE, 9000, 0}},
	{"shrinking to a page's end", {{WRITE, 0, 30000}}, {TRUNCATE, PAGE(2), 0}},
	{"shrinking into a hole",
	 {{WRITE, 0, 9000}, {TRUNCATE, 40000, 0}},
	 {TRUNCATE, 20000, 0}},
	{"emptying", {{WRITE, 0, 30000}}, {TRUNCATE, 0, 0}},
	{"punching", {{WRITE, 0, 40000}}, {PUNCH, 5000, 20000}},
	{"punching to the end", {{WRITE, 0, 40000}}, {PUNCH, 5000, 35000}},
	{"punching in page 0", {{WRITE, 0, 40000}}, {PUNCH, 0, 3000}},
	{"zeroing", {{WRITE, 0, 40000}}, {ZERO, 5000, 20000}},
	{"zeroing behind the end", {{WRITE, 0, 20000}}, {ZERO, 5000, 25000}},
	{"writing into a hole",
	 {{WRITE, 0, 9000}, {TRUNCATE, 40000, 0}},
	 {WRITE, 15000, 20000}},
	{"allocating", {{WRITE, 0, 9000}}, {ALLOCATE, 0, 30000}},
};

/* What fails. */
static struct {
	unsigned at; /* this call, from 1 on; 0: none */
	bool on;     /* and all after it */
	int error;   /* errno; 0: it is a write that is done in part, and then fails */
	unsigned nr_seen;
	unsigned nr_failed;
	int then;      /* fails the next call */
	bool in_pages; /* writes are done in part within a page too */
} fault;

/* A part of a write that grows the file may end anywhere; else pages are written whole.
 */
static int64_t part_of(uint64_t off, uint64_t len)
{
	uint64_t part = len / 2 / PAGE_BYTES * PAGE_BYTES;

	(void)off;
	if (!part && fault.in_pages)
		part = len / 2;
	return part ? (int64_t)part : -ENOSPC;
}

static bool others_prove; /* the file's id, while its pages are read */
static bool sizes_stay;	  /* setting one fails */

static int64_t store_hook(enum call call, uint64_t off, uint64_t len)
{
	if (others_prove)
		FILE_OF_STORE->proven = true;
	if (sizes_stay && call == CALL_SIZE)
		return -EIO;
	if (fault.then) {
		int error = fault.then;

		fault.then = 0;
		return -error;
	}
	if (!fault.at)
		return 0;
	fault.nr_seen++;
	if (fault.nr_seen < fault.at || (fault.nr_seen > fault.at && !fault.on))
		return 0;
	fault.nr_failed++;
	if (fault.error || call != CALL_WRITE)
		return fault.error ? -fault.error : -EIO;
	fault.then = fault.on ? 0 : ENOSPC;
	return fault.nr_failed > 1 ? -ENOSPC : part_of(off, len);
}

static void store_done(enum call call, uint64_t off, uint64_t len)
{
	(void)call;
	(void)off;
	(void)len;
}

static void disarm(void)
{
	fault.at = 0;
	fault.then = 0;
}

/*
 * Every page is as in @old or as in @new, or, if @may_fail, cannot be read. True when all
 * can.
 */
static bool check_view(const struct scenario *scenario, const struct view *view,
		       const struct content *old, const struct content *new,
		       bool may_fail)
{
	bool all = true;

	for (uint64_t i = 0; i < layout_pages(view->content.size); i++) {
		uint64_t start = layout_page_start(i);
		uint32_t len = layout_content(i, view->content.size);
		const uint8_t *is = view->content.bytes + start;

		if (view->errors[i]) {
			if (!may_fail || view->errors[i] != -EIO)
				fail_msg("%s, call %u: page %d: error %d", scenario->name,
					 fault.nr_seen, (int)i, view->errors[i]);
			all = false;
			continue;
		}
		if (memcmp(is, old->bytes + start, len) &&
		    memcmp(is, new->bytes + start, len))
			fail_msg("%s: page %d has wrong bytes", scenario->name, (int)i);
	}
	return all;
}

static void check_size(const struct scenario *scenario, uint64_t is, uint64_t a,
		       uint64_t b)
{
	if (is != a && is != b)
		fail_msg("%s: %d bytes instead of %d or %d", scenario->name, (int)is,
			 (int)a, (int)b);
}

static void prepare(const struct scenario *scenario, struct content *content)
{
	static const struct step fsync_step = {.change = FSYNC};

	memset(content, 0, sizeof(*content));
	store_new_file();
	for (const struct step *step = scenario->before; step->change != NONE; step++) {
		content_step(content, step, nr_steps);
		assert_int_equal(store_step(step), 0);
	}
	assert_int_equal(store_step(&fsync_step), 0);
}

/* The file can be written and read on as if nothing had been. */
static void go_on(const struct scenario *scenario, struct content *content)
{
	struct step append = {WRITE, content->size, 300};
	struct view view;

	content_step(content, &append, nr_steps);
	if (store_step(&append))
		fail_msg("%s: cannot be appended to any more", scenario->name);
	store_view(&view);
	check_size(scenario, view.content.size, content->size, content->size);
	check_view(scenario, &view, content, content, false);
}

/* One call fails: the file is what it was, in part what it should have become. */
static void check_one_failure(const struct scenario *scenario, int ret,
			      const struct content *old, const struct content *new)
{
	struct view view;

	store_view(&view);
	check_size(scenario, view.content.size, ret ? old->size : new->size,
		   ret ? old->size : new->size);
	check_view(scenario, &view, ret ? old : new, new, false);
	if (store.fs.unrestored)
		fail_msg("%s: one failure, and the end was lost", scenario->name);
	go_on(scenario, &view.content);
	assert_int_equal(store_mount(false), 0);
	go_on(scenario, &view.content);
	/* zeros would be taken for one */
	if (ret && !old->size && FILE_OF_STORE->sparse)
		fail_msg("%s: sparse without a hole", scenario->name);
}

/* What a failed write left behind the end does not come up. */
static void grow_by_hole(const struct scenario *scenario, struct content *content)
{
	struct step grow = {TRUNCATE, MAX_PLAIN - 500, 0};
	struct view view;

	content_step(content, &grow, 0);
	if (store_step(&grow))
		fail_msg("%s: cannot be extended any more", scenario->name);
	store_view(&view);
	check_view(scenario, &view, content, content, false);
}

/* From one call on all fail: nothing is wrong, and after settling nothing is lost. */
static void check_broken_store(const struct scenario *scenario, int ret,
			       const struct content *old, const struct content *new)
{
	struct view view;

	store_view(&view);
	check_size(scenario, view.content.size, old->size, new->size);
	if (check_view(scenario, &view, ret ? old : new, new, true)) {
		grow_by_hole(scenario, &view.content);
		old = new = &view.content;
	}
	assert_int_equal(store_mount(true), 0);
	ret = pages_settle(&store.w, FILE_OF_STORE);
	if (ret == -EIO && !old->size) /* without page 0 it is nobody's */
		return;
	if (ret)
		fail_msg("%s: cannot be settled", scenario->name);
	assert_int_equal(store_mount(false), 0);
	store_view(&view);
	/* a write that was done in part may have come that far */
	if (view.content.size < old->size)
		check_size(scenario, view.content.size, new->size, new->size);
	if (view.content.size > new->size)
		check_size(scenario, view.content.size, old->size, old->size);
	check_view(scenario, &view, old, new, false);
	go_on(scenario, &view.content);
}

/* False when the change was done before the call that should have failed. */
static bool try(const struct scenario *scenario, unsigned at)
{
	struct content old, new;
	bool failed;
	int ret;

	prepare(scenario, &old);
	new = old;
	content_step(&new, &scenario->change, nr_steps);
	fault.in_pages = !fault.on && new.size > old.size;
	fault.at = at;
	fault.nr_seen = fault.nr_failed = 0;
	ret = store_step(&scenario->change);
	failed = fault.nr_failed;
	disarm();
	if (failed && fault.on)
		check_broken_store(scenario, ret, &old, &new);
	else
		check_one_failure(scenario, ret, &old, &new);
	if (ret && !failed)
		fail_msg("%s: error %d without a failure", scenario->name, ret);
	store_drop_file();
	return failed;
}

static void try_all(bool on, int error)
{
	unsigned nr = 0;

	fault.on = on;
	fault.error = error;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		for (unsigned at = 1; try(&scenarios[i], at); at++)
			nr++;
	print_message("%u failures\n", nr);
}

static void one_call_fails(void **state)
{
	(void)state;
	try_all(false, EIO);
	try_all(false, ENOSPC);
}

static void one_write_is_done_in_part(void **state)
{
	(void)state;
	try_all(false, 0);
}

static void an_interrupted_call_is_made_again(void **state)
{
	(void)state;
	try_all(false, EINTR);
}

/* False when the change was done before the operation that should have been. */
static bool try_interrupted(const struct scenario *scenario, unsigned at)
{
	struct content old, new;
	bool interrupted;
	int ret;

	prepare(scenario, &old);
	new = old;
	content_step(&new, &scenario->change, nr_steps);
	FILE_OF_STORE->proven = FILE_OF_STORE->end_right = false;
	store.interrupted = at;
	ret = store_step(&scenario->change);
	interrupted = !store.interrupted;
	store.interrupted = 0;
	if (ret != (interrupted ? -EINTR : 0))
		fail_msg("%s, operation %u: error %d", scenario->name, at, ret);
	check_one_failure(scenario, ret, &old, &new);
	store_drop_file();
	return interrupted;
}

/* While the volume is suspended, at any of the operations that a change takes. */
static void a_change_is_interrupted(void **state)
{
	unsigned nr = 0;

	(void)state;
	disarm();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		for (unsigned at = 1; try_interrupted(&scenarios[i], at); at++)
			nr++;
	print_message("%u interrupts\n", nr);
}

static void the_store_breaks(void **state)
{
	(void)state;
	try_all(true, EIO);
	try_all(true, 0);
}

/* The store tells that it lost something once, whatever called fdatasync(2). */
static void losses_are_told_to_every_opening(void **state)
{
	static const struct step fsync_step = {.change = FSYNC};
	struct content content;

	(void)state;
	fault.on = false;
	fault.error = EIO;
	for (int internal = 0; internal < 2; internal++) {
		prepare(&scenarios[0], &content);
		fault.at = 1;
		fault.nr_seen = fault.nr_failed = 0;
		assert_int_equal(internal ? pages_sync(&store.w, FILE_OF_STORE)
					  : store_step(&fsync_step),
				 -EIO);
		disarm();
		assert_int_equal(store_step(&fsync_step), -EIO);
		assert_int_equal(file_fsync(&store.w, &store.inode,
					    file_nr_lost(&store.inode), true),
				 0);
		store_drop_file();
	}
}

/* Those that are tried may be torn by somebody who writes them: who had them verified. */
static void a_page_that_is_being_written_does_not_disprove_the_id(void **state)
{
	uint8_t torn[4 * PAGE_BYTES];
	struct content content;

	(void)state;
	memset(torn, 0x5a, sizeof(torn));
	disarm();
	prepare(&scenarios[3], &content);
	assert_int_equal(
		__real_pwrite64(FILE_OF_STORE->fd, torn, sizeof(torn), PAGE_BYTES),
		sizeof(torn));
	FILE_OF_STORE->proven = false;
	assert_int_equal(pages_prove_id(&store.w, FILE_OF_STORE), -EIO);
	others_prove = true;
	assert_int_equal(pages_prove_id(&store.w, FILE_OF_STORE), 0);
	others_prove = false;
	store_drop_file();
}

static void *setting_failed(void *arg)
{
	(void)arg;
	file_written_back(&store.inode);
	return NULL;
}

/* Opening it may last until a suspended volume is resumed; nor does a failure wait. */
static void setting_a_time_does_not_wait_for_an_opening(void **state)
{
	struct timespec until;
	pthread_t thread;
	int ret;

	(void)state;
	disarm();
	store_new_file();
	file_written_back(&store.inode);
	pthread_mutex_lock(&store.inode.lock);
	assert_true(file_being_dated(&store.inode));
	assert_int_equal(pthread_create(&thread, NULL, setting_failed, NULL), 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	ret = pthread_timedjoin_np(thread, NULL, &until);
	pthread_mutex_unlock(&store.inode.lock);
	assert_int_equal(ret, 0);
	assert_true(file_being_dated(&store.inode));
	assert_false(file_being_dated(&store.inode));
	store_drop_file();
}

static int open_and_close(struct inode *inode, int flags)
{
	int ret = file_open(&store.w, inode, flags);

	if (!ret)
		assert_int_equal(file_close(&store.w, inode), 0);
	return ret;
}

/* Nor may the store's failing to empty it make it one that is right. */
static void what_was_cut_while_it_was_closed_can_only_be_emptied(void **state)
{
	char dir[] = P_tmpdir "/hsmfs-fault-XXXXXX", path[sizeof(dir) + 5];
	static uint8_t bytes[9000];
	struct inode *inode;
	struct stat st;
	int root_fd, fd;

	(void)state;
	disarm();
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	root_fd = open(dir, O_PATH | O_DIRECTORY);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(pthread_rwlock_init(&store.fs.tree, NULL), 0);
	assert_int_equal(inode_table_create(&store.fs, root_fd, &store.fs.inodes), 0);
	assert_int_equal(
		inode_get(&store.fs, inode_root(&store.fs), root_fd, "file", &st, &inode),
		0);
	assert_int_equal(open_and_close(inode, O_RDWR), 0);
	for (off_t size = 5000; size; size = size > 64 ? 40 : 0) {
		assert_int_equal(__real_ftruncate64(fd, size), 0);
		sizes_stay = true;
		for (int i = 0; i < 2; i++) {
			assert_int_equal(open_and_close(inode, O_RDONLY), -EIO);
			assert_int_equal(open_and_close(inode, O_RDWR), -EIO);
			assert_int_equal(open_and_close(inode, O_WRONLY | O_TRUNC), -EIO);
			assert_int_equal(file_truncate(&store.w, inode, 0), -EIO);
			assert_int_equal(file_truncate(&store.w, inode, 100), -EIO);
		}
		sizes_stay = false;
		assert_int_equal(open_and_close(inode, O_WRONLY | O_TRUNC), 0);
		assert_int_equal(open_and_close(inode, O_RDWR), 0);
	}
	inode_table_destroy(store.fs.inodes);
	pthread_rwlock_destroy(&store.fs.tree);
	close(fd);
	close(root_fd);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_call_fails),
		cmocka_unit_test(one_write_is_done_in_part),
		cmocka_unit_test(an_interrupted_call_is_made_again),
		cmocka_unit_test(a_change_is_interrupted),
		cmocka_unit_test(the_store_breaks),
		cmocka_unit_test(losses_are_told_to_every_opening),
		cmocka_unit_test(a_page_that_is_being_written_does_not_disprove_the_id),
		cmocka_unit_test(setting_a_time_does_not_wait_for_an_opening),
		cmocka_unit_test(what_was_cut_while_it_was_closed_can_only_be_emptied),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
