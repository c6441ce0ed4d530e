/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/acl_value.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

/* Values lie anywhere in memory, so entries are copied in and out. */
struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static size_t nr_entries(size_t len)
{
	return (len - sizeof(struct posix_acl_xattr_header)) /
	       sizeof(struct posix_acl_xattr_entry);
}

static struct entry get(const void *value, size_t i)
{
	struct posix_acl_xattr_entry raw;

	memcpy(&raw,
	       (const char *)value + sizeof(struct posix_acl_xattr_header) +
		       i * sizeof(raw),
	       sizeof(raw));
	return (struct entry){
		.tag = le16toh(raw.e_tag),
		.perm = le16toh(raw.e_perm),
		.id = le32toh(raw.e_id),
	};
}

static void set_perm(void *value, size_t i, unsigned perm)
{
	uint16_t raw = htole16((uint16_t)perm);

	memcpy((char *)value + sizeof(struct posix_acl_xattr_header) +
		       i * sizeof(struct posix_acl_xattr_entry) +
		       offsetof(struct posix_acl_xattr_entry, e_perm),
	       &raw, sizeof(raw));
}

/* Where the entry with that tag (of which there is one at most) is, or @nr. */
static size_t find(const void *value, size_t nr, unsigned tag)
{
	size_t i = 0;

	while (i < nr && get(value, i).tag != tag)
		i++;
	return i;
}

/* Whether @next may come behind @entry. */
static bool in_order(const struct entry *entry, const struct entry *next)
{
	bool named = entry->tag == ACL_USER || entry->tag == ACL_GROUP;

	return next->tag > entry->tag ||
	       (named && next->tag == entry->tag && next->id > entry->id);
}

bool acl_is_valid(const void *value, size_t len)
{
	const unsigned tags = ACL_USER_OBJ | ACL_USER | ACL_GROUP_OBJ | ACL_GROUP |
			      ACL_MASK | ACL_OTHER;
	const unsigned needed = ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_OTHER;
	struct posix_acl_xattr_header header;
	struct entry last = {0};
	unsigned seen = 0;

	if (len < sizeof(header) ||
	    (len - sizeof(header)) % sizeof(struct posix_acl_xattr_entry))
		return false;
	memcpy(&header, value, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return false;
	for (size_t i = 0; i < nr_entries(len); i++) {
		struct entry entry = get(value, i);

		if (!entry.tag || (entry.tag & ~tags) || (entry.tag & (entry.tag - 1)) ||
		    entry.perm > 7 || (i && !in_order(&last, &entry)))
			return false;
		seen |= entry.tag;
		last = entry;
	}
	if ((seen & (ACL_USER | ACL_GROUP)) && !(seen & ACL_MASK))
		return false;
	return (seen & needed) == needed;
}

mode_t acl_mode(const void *value, size_t len, bool *more)
{
	size_t nr = nr_entries(len), mask = find(value, nr, ACL_MASK);
	size_t group = mask < nr ? mask : find(value, nr, ACL_GROUP_OBJ);

	*more = nr > 3;
	return (mode_t)(get(value, find(value, nr, ACL_USER_OBJ)).perm << 6 |
			get(value, group).perm << 3 |
			get(value, find(value, nr, ACL_OTHER)).perm);
}

void acl_chmod(void *value, size_t len, mode_t mode)
{
	size_t nr = nr_entries(len), mask = find(value, nr, ACL_MASK);
	size_t group = mask < nr ? mask : find(value, nr, ACL_GROUP_OBJ);

	set_perm(value, find(value, nr, ACL_USER_OBJ), mode >> 6 & 7);
	set_perm(value, group, mode >> 3 & 7);
	set_perm(value, find(value, nr, ACL_OTHER), mode & 7);
}

mode_t acl_without(const void *value, size_t len, mode_t mode)
{
	size_t group = find(value, nr_entries(len), ACL_GROUP_OBJ);
	bool more;
	mode_t given = acl_mode(value, len, &more);

	/* what stat(2) shows for the group may be for others that are named */
	given &= (mode_t)(get(value, group).perm << 3) | 0707;
	return mode & (given | ~(mode_t)0777);
}

mode_t acl_inherit(void *value, size_t len, mode_t mode, bool *more)
{
	mode_t given = acl_mode(value, len, more) & mode;

	acl_chmod(value, len, given);
	return (mode & ~(mode_t)0777) | given;
}
