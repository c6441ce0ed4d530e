/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the volume header: a directory with .hsmfs/ each, and a faked HSM. */
#ifndef TESTS_UNIT_HEADER_FIXTURE_H
#define TESTS_UNIT_HEADER_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "fs/volume/header.h"
#include "hsm/api/client.h"

/*
 * The HSM's part, faked: any function of the digest will do that another "key" does not
 * give. Stores can be made to fail in the middle by letting the MAC fail.
 */
static uint8_t fake_key = 0x5a;
static int fake_error;

int hsm_mac(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	    uint8_t mac[WIRE_MAC_BYTES])
{
	(void)hsm;
	for (int i = 0; i < WIRE_MAC_BYTES; i++)
		mac[i] = digest[i] ^ fake_key;
	return fake_error;
}

int hsm_verify(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	       const uint8_t mac[WIRE_MAC_BYTES])
{
	uint8_t right[WIRE_MAC_BYTES];
	int rc = hsm_mac(hsm, digest, right);

	if (rc)
		return rc;
	return memcmp(mac, right, sizeof(right)) ? -EBADMSG : 0;
}

struct fixture {
	char path[64];
	int dirfd;
	char why[320];
};

static struct fixture fixture;

static inline int setup(void **state)
{
	strcpy(fixture.path, P_tmpdir "/hsmfs-header-XXXXXX");
	assert_non_null(mkdtemp(fixture.path));
	fixture.dirfd = open(fixture.path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(fixture.dirfd, ".hsmfs", 0700), 0);
	fixture.why[0] = '\0';
	fake_key = 0x5a;
	fake_error = 0;
	*state = &fixture;
	return 0;
}

static inline int teardown(void **state)
{
	static const char *const names[] = {".hsmfs/header", ".hsmfs/header.backup",
					    ".hsmfs/spare", ".hsmfs/lock"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		unlinkat(fixture.dirfd, names[i], 0);
		unlinkat(fixture.dirfd, names[i], AT_REMOVEDIR);
	}
	unlinkat(fixture.dirfd, ".hsmfs", AT_REMOVEDIR);
	unlinkat(fixture.dirfd, ".hsmfs", 0);
	close(fixture.dirfd);
	return rmdir(fixture.path);
}

/* --- helpers --------------------------------------------------------------------- */

static inline void fill_slot(struct header *header, unsigned nr, enum header_kind kind)
{
	struct keyslot *slot = &header->slots[nr];

	slot->slot = nr;
	slot->kdf.time = 3;
	slot->kdf.memory_kib = 65536;
	slot->kdf.lanes = 4;
	memset(slot->kdf.salt, (int)(0x11 + nr), sizeof(slot->kdf.salt));
	memset(slot->tpm_name, 0x22, sizeof(slot->tpm_name));
	slot->tpm_public_len = 78;
	memset(slot->tpm_public, 0x33, 78);
	slot->tpm_private_len = KEYSLOT_TPM_BLOB_MAX;
	memset(slot->tpm_private, 0x44, KEYSLOT_TPM_BLOB_MAX);
	memset(slot->wrapped_vmk, 0x55, sizeof(slot->wrapped_vmk));
	if (kind == HEADER_PASSPHRASE) {
		slot->pcrs = 1 << 7 | 1 << 23;
		memset(slot->pcr_values[7], 0x66, KEYSLOT_PCR_BYTES);
		memset(slot->pcr_values[23], 0x77, KEYSLOT_PCR_BYTES);
	}
	header->used[nr] = true;
	header->kinds[nr] = kind;
}

static inline void store_new(struct header *header)
{
	assert_int_equal(header_init(header), 0);
	fill_slot(header, 0, HEADER_PASSPHRASE);
	fill_slot(header, 15, HEADER_RECOVERY);
	assert_int_equal(header_store(fixture.dirfd, header, NULL), 0);
}

static inline int load(struct header *header)
{
	return header_load(fixture.dirfd, header, fixture.why, sizeof(fixture.why));
}

static inline int verify(struct header *header)
{
	return header_verify(fixture.dirfd, header, NULL, fixture.why,
			     sizeof(fixture.why));
}

static inline void write_copy(const char *name, const void *data, size_t len)
{
	int fd = openat(fixture.dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static inline void write_both(const char *text)
{
	write_copy(".hsmfs/header", text, strlen(text));
	write_copy(".hsmfs/header.backup", text, strlen(text));
}

static inline size_t read_copy(const char *name, char *text, size_t len)
{
	int fd = openat(fixture.dirfd, name, O_RDONLY);
	ssize_t n = read(fd, text, len - 1);

	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
	return (size_t)n;
}

/* The stored header as JSON, to be changed and written back by put_json(). */
static inline json_t *get_json(void)
{
	char text[HEADER_BYTES_MAX];
	size_t len = read_copy(".hsmfs/header", text, sizeof(text));
	json_t *json = json_loadb(text, len, 0, NULL);

	assert_non_null(json);
	return json;
}

/* Stores a new header and gives its JSON, to be changed. */
static inline json_t *new_json(void)
{
	struct header header;

	store_new(&header);
	header_fini(&header);
	return get_json();
}

static inline void put_json(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(text);
	write_both(text);
	free(text);
	json_decref(json);
}

static inline json_t *inner_of(json_t *json)
{
	return json_object_get(json, "hsmfs");
}

static inline json_t *slot_of(json_t *json)
{
	return json_object_get(json_object_get(inner_of(json), "slots"), "0");
}

/* Replaces a member of @object (which is in @json), and expects the volume refused. */
static inline void expect_refused(json_t *json, json_t *object, const char *key,
				  json_t *value)
{
	struct header header;

	assert_true(json_is_object(object));
	assert_int_equal(json_object_set_new(object, key, value), 0);
	put_json(json);
	assert_int_equal(load(&header), -EUCLEAN);
	header_fini(&header);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
