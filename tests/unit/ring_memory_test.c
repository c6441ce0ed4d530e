/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory may be a ring: what the kernel makes of a memfd, but none reserved. */
#include "tests/unit/server_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024 };

static struct server_fixture fixture;
static bool transparently_huge;

int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);

/* As /sys/kernel/mm/transparent_hugepage/shmem_enabled has it with "always". */
int __wrap_fstat64(int fd, struct stat *st)
{
	int ret = __real_fstat64(fd, st);

	if (!ret && transparently_huge)
		st->st_blksize = HUGE_PAGE_BYTES;
	return ret;
}

static void huge_pages_as_the_kernel_likes(void **state)
{
	struct hsm_client *owner, *user;
	struct queue queue;

	(void)state;
	server_begin(&fixture);
	transparently_huge = true;
	owner = own_session();
	user = use_session(owner);
	attach(&queue, user);
	assert_int_equal(seal_page(&queue), 0);
	assert_int_equal(open_page(&queue), 0);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	transparently_huge = false;
	server_end(&fixture);
}

/* These can be taken away by whoever sets how many there are. */
static void reserved_huge_pages_are_refused(void **state)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct hsm_client *owner, *user;
	struct wire_handle handle;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	(void)state;
	if (fd < 0 || ftruncate(fd, HUGE_PAGE_BYTES))
		skip();
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	server_begin(&fixture);
	owner = own_session();
	user = use_session(owner);
	assert_int_equal(
		hsm_queue(user, fd, HUGE_PAGE_BYTES - RING_ARENA_OFFSET, &handle),
		-EINVAL);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	server_end(&fixture);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(huge_pages_as_the_kernel_likes),
		cmocka_unit_test(reserved_huge_pages_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
