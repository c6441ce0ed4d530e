/* SPDX-License-Identifier: Apache-2.0 */
/* ACL values: what is taken for one, and the arithmetic of acl(5). */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include "fs/acl_value.h"

struct acl {
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entries[8];
};

static const struct acl full = {
	{POSIX_ACL_XATTR_VERSION},
	{
		{ACL_USER_OBJ, 7, ACL_UNDEFINED_ID},
		{ACL_USER, 6, 1000},
		{ACL_USER, 4, 1001},
		{ACL_GROUP_OBJ, 5, ACL_UNDEFINED_ID},
		{ACL_GROUP, 7, 1000},
		{ACL_MASK, 6, ACL_UNDEFINED_ID},
		{ACL_OTHER, 1, ACL_UNDEFINED_ID},
	},
};

static const struct acl minimal = {
	{POSIX_ACL_XATTR_VERSION},
	{
		{ACL_USER_OBJ, 6, ACL_UNDEFINED_ID},
		{ACL_GROUP_OBJ, 4, ACL_UNDEFINED_ID},
		{ACL_OTHER, 0, ACL_UNDEFINED_ID},
	},
};

static size_t size_of(unsigned nr)
{
	return sizeof(struct posix_acl_xattr_header) +
	       nr * sizeof(struct posix_acl_xattr_entry);
}

/* On the heap and to the byte, so that reading behind it is noticed. */
static bool is_valid(const void *value, size_t len)
{
	void *copy = malloc(len ? len : 1);
	bool valid;

	memcpy(copy, value, len);
	valid = acl_is_valid(copy, len);
	free(copy);
	return valid;
}

static void only_whole_values(void **state)
{
	(void)state;
	for (size_t len = 0; len < size_of(7); len++)
		assert_false(is_valid(&full, len));
	assert_true(is_valid(&full, size_of(7)));
	assert_true(is_valid(&minimal, size_of(3)));
	assert_false(is_valid(&minimal, size_of(2)));
	assert_false(is_valid(&minimal, size_of(4)));
}

static void only_sound_entries(void **state)
{
	struct acl acl;

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		acl = full;
		acl.entries[i].e_perm = 8;
		assert_false(is_valid(&acl, size_of(7)));
		acl = full;
		acl.entries[i].e_tag = 0;
		assert_false(is_valid(&acl, size_of(7)));
		acl.entries[i].e_tag = 0x40;
		assert_false(is_valid(&acl, size_of(7)));
		acl.entries[i].e_tag = ACL_USER_OBJ | ACL_OTHER;
		assert_false(is_valid(&acl, size_of(7)));
	}
	acl = full;
	acl.header.a_version = 1;
	assert_false(is_valid(&acl, size_of(7)));
	acl = full;
	acl.entries[2].e_id = 1000; /* the same user twice */
	assert_false(is_valid(&acl, size_of(7)));
	acl = full;
	memmove(&acl.entries[5], &acl.entries[6], sizeof(acl.entries[6])); /* no mask */
	assert_false(is_valid(&acl, size_of(6)));
}

static void modes(void **state)
{
	bool more;

	(void)state;
	assert_int_equal(acl_mode(&full, size_of(7), &more), 0761);
	assert_true(more);
	assert_int_equal(acl_mode(&minimal, size_of(3), &more), 0640);
	assert_false(more);
	assert_int_equal(acl_without(&full, size_of(7), 0666), 0640);
}

static void chmod_changes_the_mask(void **state)
{
	struct acl acl = full;
	bool more;

	(void)state;
	acl_chmod(&acl, size_of(7), 0614);
	assert_int_equal(acl_mode(&acl, size_of(7), &more), 0614);
	assert_int_equal(acl.entries[3].e_perm, 5);
	assert_int_equal(acl.entries[5].e_perm, 1);
	acl = minimal;
	acl_chmod(&acl, size_of(3), 0173);
	assert_int_equal(acl.entries[1].e_perm, 7);
}

static void what_is_made_gets_less(void **state)
{
	struct acl acl = full;
	bool more;

	(void)state;
	assert_int_equal(acl_inherit(&acl, size_of(7), 02646, &more), 02640);
	assert_true(more);
	assert_int_equal(acl.entries[0].e_perm, 6);
	assert_int_equal(acl.entries[1].e_perm, 6);
	assert_int_equal(acl.entries[3].e_perm, 5);
	assert_int_equal(acl.entries[5].e_perm, 4);
	assert_int_equal(acl.entries[6].e_perm, 0);
	acl = minimal;
	assert_int_equal(acl_inherit(&acl, size_of(3), 0777, &more), 0640);
	assert_false(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_values),
		cmocka_unit_test(only_sound_entries),
		cmocka_unit_test(modes),
		cmocka_unit_test(chmod_changes_the_mask),
		cmocka_unit_test(what_is_made_gets_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
