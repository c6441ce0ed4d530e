/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every state that a power failure may leave: since the last sync any pages may have
 * reached the disk, in any of the versions that were written, with any of the lengths
 * that the file had. Settled, what fsync promised is there and no byte is wrong.
 */
#include "tests/unit/store_fixture.h"

#define PAGE(n) ((n) * (uint64_t)PAGE_DATA_BYTES - PAGE_HEADER_BYTES)

enum {
	MAX_STEPS = 8,
	MAX_EVENTS = 200,
	MAX_STATES = 400, /* of one moment; where there are more, so many are drawn */
};

struct scenario {
	const char *name;
	struct step steps[MAX_STEPS];
};

static const struct scenario scenarios[] = {
	{"new file", {{WRITE, 0, 9000}, {WRITE, 9000, 9000}}},
	{"append", {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {WRITE, 9000, 500}}},
	{"appends to one page",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 100},
	  {WRITE, 9100, 100},
	  {WRITE, 9200, 100}}},
	{"appends to one page that is the first",
	 {{WRITE, 0, 100},
	  {FSYNC, 0, 0},
	  {WRITE, 100, 100},
	  {WRITE, 200, 100},
	  {WRITE, 300, 100}}},
	{"appends over pages",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 5000},
	  {WRITE, 14000, 5000},
	  {WRITE, 19000, 100}}},
	{"appends with an fsync between",
	 {{WRITE, 0, 3000},
	  {FSYNC, 0, 0},
	  {WRITE, 3000, 500},
	  {FSYNC, 0, 0},
	  {WRITE, 3500, 100},
	  {WRITE, 3600, 8000}}},
	{"growth of what is not durable",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 5000},
	  {WRITE, 14000, 100},
	  {WRITE, 14100, 100}}},
	{"append to a full page",
	 {{WRITE, 0, PAGE(2)},
	  {FSYNC, 0, 0},
	  {WRITE, PAGE(2), 500},
	  {WRITE, PAGE(2) + 500, 9000}}},
	{"overwrite", {{WRITE, 0, 20000}, {FSYNC, 0, 0}, {WRITE, 3000, 9000}}},
	{"overwrite and append",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {WRITE, 3000, 9000}, {WRITE, 5000, 9000}}},
	{"write behind a gap",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {WRITE, 22000, 3000}, {WRITE, 25000, 3000}}},
	{"gap behind the first page",
	 {{WRITE, 0, 900}, {FSYNC, 0, 0}, {WRITE, 15000, 3000}, {WRITE, 18000, 100}}},
	{"growing by truncate",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {TRUNCATE, 9500, 0}, {TRUNCATE, 30000, 0}}},
	{"shrinking within a page",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {TRUNCATE, 8500, 0}, {TRUNCATE, 8300, 0}}},
	{"shrinking", {{WRITE, 0, 30000}, {FSYNC, 0, 0}, {TRUNCATE, 9000, 0}}},
	{"shrinking what is not durable",
	 {{WRITE, 0, 5000}, {FSYNC, 0, 0}, {WRITE, 5000, 20000}, {TRUNCATE, 9000, 0}}},
	{"shrinking and growing within a page",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {TRUNCATE, 8500, 0},
	  {WRITE, 8500, 100},
	  {WRITE, 8600, 100}}},
	{"shrinking and growing",
	 {{WRITE, 0, 20000}, {FSYNC, 0, 0}, {TRUNCATE, 9000, 0}, {WRITE, 9000, 9000}}},
	{"shrinking to a page's end, growing",
	 {{WRITE, 0, 20000},
	  {FSYNC, 0, 0},
	  {TRUNCATE, PAGE(2), 0},
	  {WRITE, PAGE(2), 300}}},
	{"shrinking, fsync, growing",
	 {{WRITE, 0, 20000},
	  {FSYNC, 0, 0},
	  {TRUNCATE, 9000, 0},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 100},
	  {WRITE, 9100, 100}}},
	{"shrinking what is not durable and growing past it",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 5000},
	  {TRUNCATE, 13000, 0},
	  {WRITE, 20000, 100}}},
	{"shrinking what is not durable by a byte, and growing",
	 {{WRITE, 0, 5000},
	  {FSYNC, 0, 0},
	  {WRITE, 5000, 9000},
	  {TRUNCATE, 13999, 0},
	  {WRITE, 13999, 2000}}},
	{"shrinking what is not durable by a few bytes, and growing past it",
	 {{WRITE, 0, 5000},
	  {FSYNC, 0, 0},
	  {WRITE, 5000, 9000},
	  {TRUNCATE, 13991, 0},
	  {WRITE, 13991, 9000}}},
	{"emptying and writing",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {TRUNCATE, 0, 0}, {WRITE, 0, 5000}}},
	{"punching", {{WRITE, 0, 30000}, {FSYNC, 0, 0}, {PUNCH, 5000, 15000}}},
	{"punching to the end, appending",
	 {{WRITE, 0, 20000}, {FSYNC, 0, 0}, {PUNCH, 9000, 11000}, {WRITE, 20000, 100}}},
	{"appending, punching over the old end",
	 {{WRITE, 0, 20000},
	  {PUNCH, 5000, 9000},
	  {FSYNC, 0, 0},
	  {WRITE, 20000, 9000},
	  {PUNCH, 13000, 12000}}},
	{"appending, punching over the old end, and again",
	 {{WRITE, 0, 900},
	  {TRUNCATE, 9000, 0},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 6000},
	  {PUNCH, 4000, 9000},
	  {WRITE, 15000, 6000},
	  {PUNCH, 12000, 8000}}},
	{"shrinking to the end of a page in a hole",
	 {{WRITE, 0, 900}, {TRUNCATE, 30000, 0}, {FSYNC, 0, 0}, {TRUNCATE, PAGE(4), 0}}},
	{"shrinking into a page in a hole",
	 {{WRITE, 0, 900},
	  {TRUNCATE, 30000, 0},
	  {FSYNC, 0, 0},
	  {TRUNCATE, PAGE(4) + 9, 0}}},
	{"zeroing behind the end",
	 {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {ZERO, 3000, 15000}}},
	{"writing into a hole",
	 {{WRITE, 0, 900},
	  {TRUNCATE, 30000, 0},
	  {FSYNC, 0, 0},
	  {WRITE, 9000, 9000},
	  {WRITE, 29000, 3000}}},
	{"allocating", {{WRITE, 0, 9000}, {FSYNC, 0, 0}, {ALLOCATE, 0, 20000}}},
	{"append that fails, append",
	 {{WRITE, 0, 9000},
	  {FSYNC, 0, 0},
	  {FAIL, 0, 0},
	  {WRITE, 9000, 500},
	  {WRITE, 9000, 100}}},
	{"growing that fails",
	 {{WRITE, 0, 100}, {FSYNC, 0, 0}, {FAIL, 0, 0}, {TRUNCATE, 3000, 0}}},
};

/* --- what happened ------------------------------------------------------------------ */

enum event_kind {
	EVENT_PAGE, /* @page has @bytes */
	EVENT_SIZE, /* the file has @size bytes */
	EVENT_SYNC,
	EVENT_STEP,  /* the next step begins */
	EVENT_FSYNC, /* fsync(2) has returned: the content up to here is promised */
};

struct event {
	enum event_kind kind;
	uint64_t size;
	unsigned page;
	uint8_t bytes[PAGE_BYTES];
};

static struct event events[MAX_EVENTS];
static unsigned nr_events;
static bool recording;
static int to_fail; /* writes: the first in part, the second altogether */
/*
 * Moments that nothing is promised of: what is written in part may be all that gets to
 * the disk, until the change that failed has given back what was there.
 */
static int unsure_from, unsure_to;

static struct event *add_event(enum event_kind kind)
{
	struct event *event = &events[nr_events++];

	assert_true(nr_events <= MAX_EVENTS);
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	return event;
}

static uint64_t last_size(void)
{
	for (unsigned i = nr_events; i-- > 0;)
		if (events[i].kind == EVENT_SIZE)
			return events[i].size;
	return 0;
}

static void add_pages(uint64_t off, uint64_t len, bool grows)
{
	for (uint64_t at = off; at < off + len;) {
		struct event *event = add_event(EVENT_PAGE);
		uint64_t end;

		event->page = (unsigned)(at / PAGE_BYTES);
		end = (event->page + 1u) * (uint64_t)PAGE_BYTES;
		if (end > off + len)
			end = off + len;
		assert_true(__real_pread64(FILE_OF_STORE->fd, event->bytes, PAGE_BYTES,
					   event->page * PAGE_BYTES) >= 0);
		if (grows && end > last_size())
			add_event(EVENT_SIZE)->size = end;
		at = end;
	}
}

static int64_t store_hook(enum call call, uint64_t off, uint64_t len)
{
	(void)off;
	if (call != CALL_WRITE || !to_fail)
		return 0;
	return --to_fail ? (int64_t)(len / 2) : -ENOSPC;
}

static bool size_unsure; /* what it was set to may not be on the disk */

static void store_done(enum call call, uint64_t off, uint64_t len)
{
	if (call == CALL_SIZE || call == CALL_SYNC)
		size_unsure = call == CALL_SIZE;
	if (!recording)
		return;
	switch (call) {
	case CALL_WRITE:
	case CALL_SPACE:
		add_pages(off, len, call == CALL_WRITE);
		break;
	case CALL_SIZE:
		add_event(EVENT_SIZE)->size = off;
		break;
	case CALL_SYNC:
		add_event(EVENT_SYNC);
		break;
	default:
		break;
	}
}

/* --- what a power failure leaves ---------------------------------------------------- */

/*
 * Lengths and versions to choose from at one moment; versions are numbers of events, -1
 * for a page never written. A cut that is on the disk frees the pages behind it: of those
 * only what was written since can be there; if it is not, only what was written before.
 */
struct choice {
	unsigned nr;
	int of[MAX_EVENTS];
};

static void add_choice(struct choice *choice, int event)
{
	choice->of[choice->nr++] = event;
}

static uint64_t size_of(int event)
{
	return event < 0 ? 0 : events[event].size;
}

/* The lengths that may be on the disk @until an event, @synced being the last sync. */
static void sizes_at(int synced, int until, struct choice *sizes)
{
	int base = -1;

	sizes->nr = 0;
	for (int i = 0; i < synced; i++)
		if (events[i].kind == EVENT_SIZE)
			base = i;
	add_choice(sizes, base);
	for (int i = synced < 0 ? 0 : synced; i < until; i++)
		if (events[i].kind == EVENT_SIZE)
			add_choice(sizes, i);
}

static bool cuts_off(int i, unsigned page)
{
	return events[i].kind == EVENT_SIZE && events[i].size <= page * PAGE_BYTES;
}

/* The versions of @page when the length is that of event @size. */
static void versions_at(int synced, int until, int size, unsigned page,
			struct choice *versions)
{
	versions->nr = 0;
	add_choice(versions, -1);
	for (int i = 0; i < until; i++) {
		if (cuts_off(i, page)) {
			if (i > size)
				return;
			versions->nr = 0;
			add_choice(versions, -1);
		}
		if (events[i].kind != EVENT_PAGE || events[i].page != page)
			continue;
		if (i < synced)
			versions->nr = 0;
		add_choice(versions, i);
	}
}

/* A version of @page as it is once cuts within it, up to event @size, are on the disk. */
static void cut_within(int version, int size, unsigned page, uint8_t *bytes)
{
	uint64_t start = page * PAGE_BYTES;

	for (int i = version + 1; i <= size; i++)
		if (events[i].kind == EVENT_SIZE && events[i].size > start &&
		    events[i].size < start + PAGE_BYTES)
			memset(bytes + (events[i].size - start), 0,
			       start + PAGE_BYTES - events[i].size);
}

static void make_page(int version, int size, unsigned page)
{
	uint64_t left = size_of(size) - page * PAGE_BYTES;
	uint8_t bytes[PAGE_BYTES];

	if (version < 0)
		return;
	memcpy(bytes, events[version].bytes, PAGE_BYTES);
	cut_within(version, size, page, bytes);
	assert_true(__real_pwrite64(FILE_OF_STORE->fd, bytes,
				    left < PAGE_BYTES ? left : PAGE_BYTES,
				    page * PAGE_BYTES) > 0);
}

/* --- what must be true then --------------------------------------------------------- */

static struct content contents[MAX_STEPS + 1]; /* before each step, and at last */

struct promise {
	unsigned first, last; /* of contents that a page may be of */
	unsigned durable;     /* pages that must be there */
	uint64_t size_min, size_max;
};

static struct promise promise_at(int until)
{
	struct promise promise = {0};
	unsigned step = 0;

	for (int i = 0; i < until; i++) {
		if (events[i].kind == EVENT_STEP)
			step++;
		if (events[i].kind == EVENT_FSYNC)
			promise.first = step - 1;
	}
	promise.last = step;
	promise.size_min = promise.size_max = contents[promise.first].size;
	for (unsigned i = promise.first; i <= promise.last; i++) {
		if (contents[i].size < promise.size_min)
			promise.size_min = contents[i].size;
		if (contents[i].size > promise.size_max)
			promise.size_max = contents[i].size;
	}
	promise.durable = (unsigned)layout_pages(promise.size_min);
	return promise;
}

static bool matches(const struct promise *promise, const struct view *view, uint64_t page)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t start = layout_page_start(page);
	uint32_t len = layout_content(page, view->content.size);

	for (unsigned i = promise->first; i <= promise->last; i++)
		if (!memcmp(view->content.bytes + start, contents[i].bytes + start, len))
			return true;
	return page >= promise->durable &&
	       !memcmp(view->content.bytes + start, zeros, len);
}

static void check_state(const char *name, int until)
{
	struct promise promise = promise_at(until);
	struct view view;
	int ret;

	ret = store_mount(true);
	size_unsure = false;
	if (!ret)
		ret = pages_settle(&store.w, FILE_OF_STORE);
	/* it would verify, and come up behind what is written next */
	if (size_unsure)
		fail_msg("%s, event %d: what was cut off may come back", name, until);
	if (!ret)
		ret = store_mount(false);
	if (ret && promise.durable)
		fail_msg("%s, event %d: cannot be settled (%d)", name, until, ret);
	if (ret)
		return;
	store_view(&view);
	if (view.content.size < promise.size_min || view.content.size > promise.size_max)
		fail_msg("%s, event %d: %d bytes, not %d to %d", name, until,
			 (int)view.content.size, (int)promise.size_min,
			 (int)promise.size_max);
	for (uint64_t i = 0; i < layout_pages(view.content.size); i++) {
		if (view.errors[i] && i < promise.durable)
			fail_msg("%s, event %d: page %d is lost", name, until, (int)i);
		if (!view.errors[i] && !matches(&promise, &view, i))
			fail_msg("%s, event %d: page %d is wrong", name, until, (int)i);
	}
}

/* --- all of them -------------------------------------------------------------------- */

static unsigned drawn = 1;

static unsigned draw(unsigned below)
{
	drawn = drawn * 1103515245u + 12345u;
	return (drawn >> 8) % below;
}

/* The state number @number of all that there are, or any, of those of this length. */
static void make_state(const struct choice *versions, unsigned pages, int size,
		       uint64_t number, bool any)
{
	assert_int_equal(__real_ftruncate64(FILE_OF_STORE->fd, 0), 0);
	assert_int_equal(__real_ftruncate64(FILE_OF_STORE->fd, (off_t)size_of(size)), 0);
	for (unsigned i = 0; i < pages; i++) {
		unsigned nr = versions[i].nr;
		unsigned n = any ? draw(nr) : (unsigned)(number % nr);

		number /= nr;
		make_page(versions[i].of[n], size, i);
	}
}

static unsigned try_size(const char *name, int synced, int until, int size)
{
	unsigned pages = (unsigned)((size_of(size) + PAGE_BYTES - 1) / PAGE_BYTES);
	struct choice versions[MAX_PAGES + 1];
	uint64_t nr = 1;
	bool any;

	for (unsigned i = 0; i < pages; i++) {
		versions_at(synced, until, size, i, &versions[i]);
		nr *= versions[i].nr;
	}
	any = nr > MAX_STATES;
	if (any)
		nr = MAX_STATES;
	for (uint64_t i = 0; i < nr; i++) {
		make_state(versions, pages, size, i, any);
		check_state(name, until);
	}
	return (unsigned)nr;
}

/* A power failure right after event number @until - 1. */
static unsigned try_moment(const char *name, int until)
{
	struct choice sizes;
	int synced = -1;
	unsigned nr = 0;

	for (int i = 0; i < until; i++)
		if (events[i].kind == EVENT_SYNC)
			synced = i;
	sizes_at(synced, until, &sizes);
	for (unsigned i = 0; i < sizes.nr; i++)
		nr += try_size(name, synced, until, sizes.of[i]);
	return nr;
}

/* A step whose first write ends within a page, and which leaves everything as it is. */
static void record_failure(const struct step *step)
{
	unsure_from = (int)nr_events;
	to_fail = 2;
	assert_int_equal(store_step(step), -ENOSPC);
	assert_int_equal(to_fail, 0);
	unsure_to = (int)nr_events;
}

static void record(const struct scenario *scenario)
{
	struct content content = {0};
	unsigned nr = 0;

	nr_events = 0;
	unsure_from = unsure_to = 0;
	store_new_file();
	recording = true;
	contents[nr++] = content;
	for (const struct step *step = scenario->steps; step->change != NONE; step++) {
		bool fails = step->change == FAIL;

		if (fails)
			step++;
		else
			content_step(&content, step, nr_steps);
		contents[nr++] = content;
		add_event(EVENT_STEP);
		if (fails)
			record_failure(step);
		else
			assert_int_equal(store_step(step), 0);
		if (step->change == FSYNC)
			add_event(EVENT_FSYNC);
	}
	recording = false;
}

static void what_fsync_promised_is_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		unsigned nr = 0;

		record(&scenarios[i]);
		for (int until = 0; until <= (int)nr_events; until++)
			if (until <= unsure_from || until >= unsure_to)
				nr += try_moment(scenarios[i].name, until);
		print_message("%s: %u states\n", scenarios[i].name, nr);
		store_drop_file();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fsync_promised_is_there),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
