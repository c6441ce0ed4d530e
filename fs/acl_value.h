/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs as Linux writes them into attributes (linux/posix_acl_xattr.h), and the
 * arithmetic of acl(5). Pure functions; values are hostile until acl_is_valid().
 */
#ifndef FS_ACL_VALUE_H
#define FS_ACL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether it is well-formed, with its entries in order and those there that must be. */
bool acl_is_valid(const void *value, size_t len);

/*
 * The permission bits that stat(2) shows for it. *@more when it says more than these can,
 * that is when it has entries besides owner, group and others.
 */
mode_t acl_mode(const void *value, size_t len, bool *more);

/* Changes it as chmod(2) with the permission bits of @mode does. */
void acl_chmod(void *value, size_t len, mode_t mode);

/* The permissions of @mode that it leaves to something that cannot keep it. */
mode_t acl_without(const void *value, size_t len, mode_t mode);

/*
 * Makes of a directory's default ACL what something made in it with @mode gets: the value
 * is changed in place, and the mode returned. *@more as of acl_mode().
 */
mode_t acl_inherit(void *value, size_t len, mode_t mode, bool *more);

#endif
