/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/volume/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "fs/volume/header_json.h"
#include "fs/volume/hex.h"
#include "fs/volume/name.h"
#include "fs/volume/replace.h"
#include "hsm/api/client.h"

enum { NR_COPIES = 2 };

static const char *const copy_names[NR_COPIES] = {"header", "header.backup"};

/* One copy as it was found. */
struct copy {
	struct header header; /* valid when rc is 0 */
	int rc;
	char why[160];
};

int header_init(struct header *header)
{
	memset(header, 0, sizeof(*header));
	if (getrandom(header->uuid, sizeof(header->uuid), 0) != sizeof(header->uuid))
		return -EIO;
	/* A random (version 4) UUID, RFC 9562. */
	header->uuid[6] = (uint8_t)((header->uuid[6] & 0x0f) | 0x40);
	header->uuid[8] = (uint8_t)((header->uuid[8] & 0x3f) | 0x80);
	header->json = json_object();
	return header->json ? 0 : -ENOMEM;
}

void header_fini(struct header *header)
{
	json_decref(header->json);
	memset(header, 0, sizeof(*header));
}

void header_uuid_text(const uint8_t uuid[KEYSLOT_UUID_BYTES], char text[37])
{
	static const uint8_t group_bytes[] = {4, 2, 2, 2, 6};

	for (size_t i = 0; i < sizeof(group_bytes); i++) {
		hex_encode(uuid, group_bytes[i], text);
		uuid += group_bytes[i];
		text += 2 * group_bytes[i];
		*text++ = i < sizeof(group_bytes) - 1 ? '-' : '\0';
	}
}

/* --- reading --------------------------------------------------------------------- */

/* The volume's own directory; a descriptor or -errno. */
static int open_volume(int dirfd)
{
	int fd = openat(dirfd, NAME_VOLUME,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
}

static ssize_t read_all(int fd, char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Bytes read into @text (one more than a header may have), or -errno. */
static ssize_t read_file(int volume, const char *name, char *text)
{
	struct stat st;
	ssize_t len;
	/* O_NONBLOCK: a FIFO planted here must not hang us. */
	int fd = openat(volume, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP ? -EUCLEAN : -errno;
	if (fstat(fd, &st) < 0)
		len = -errno;
	else if (!S_ISREG(st.st_mode))
		len = -EUCLEAN;
	else
		len = read_all(fd, text, HEADER_BYTES_MAX + 1);
	close(fd);
	return len;
}

static void load_copy(int volume, const char *name, char *text, struct copy *copy)
{
	ssize_t len = read_file(volume, name, text);

	copy->rc = (int)len;
	if (len == -EUCLEAN || len > HEADER_BYTES_MAX) {
		copy->rc = -EUCLEAN;
		snprintf(copy->why, sizeof(copy->why), "it is not a file of that kind");
	} else if (len >= 0) {
		copy->rc = header_decode(text, (size_t)len, &copy->header, copy->why,
					 sizeof(copy->why));
	} else {
		snprintf(copy->why, sizeof(copy->why), "%s", strerror((int)-len));
	}
}

/* Both copies; ended by drop_copies(). */
static int load_copies(int dirfd, struct copy *copies)
{
	char *text = malloc(HEADER_BYTES_MAX + 1);
	int volume = open_volume(dirfd);
	int rc = 0;

	memset(copies, 0, NR_COPIES * sizeof(*copies));
	if (!text)
		rc = -ENOMEM;
	else if (volume < 0)
		rc = volume;
	for (int i = 0; i < NR_COPIES && rc == 0; i++)
		load_copy(volume, copy_names[i], text, &copies[i]);
	if (volume >= 0)
		close(volume);
	free(text);
	return rc;
}

static void drop_copies(struct copy *copies)
{
	for (int i = 0; i < NR_COPIES; i++)
		json_decref(copies[i].header.json);
	free(copies);
}

/* The copy to use, or NULL with the error to report in *@rc. */
static struct copy *choose_copy(struct copy *copies, int *rc)
{
	struct copy *best = NULL;

	*rc = -ENOENT;
	for (int i = 0; i < NR_COPIES; i++) {
		struct copy *copy = &copies[i];

		/* A later version wrote here: what it left of the other copy is not ours.
		 */
		if (copy->rc == -ENOTSUP || copy->rc == -ENOMEM) {
			*rc = copy->rc;
			return NULL;
		}
		if (copy->rc < 0 && copy->rc != -ENOENT && *rc != -EUCLEAN)
			*rc = copy->rc;
		if (copy->rc == 0 &&
		    (!best || copy->header.sequence > best->header.sequence))
			best = copy;
	}
	return best;
}

static void explain_load(int rc, const struct copy *copies, char *why, size_t why_len)
{
	const char *detail = "";

	for (int i = NR_COPIES - 1; i >= 0; i--) {
		if (copies[i].rc == rc)
			detail = copies[i].why;
	}
	if (rc == -ENOENT)
		snprintf(why, why_len, "there is no volume header");
	else if (rc == -EUCLEAN)
		snprintf(why, why_len, "both copies of the volume header are damaged: %s",
			 detail);
	else if (rc == -ENOTSUP)
		snprintf(why, why_len, "%s", detail);
	else
		snprintf(why, why_len, "cannot read the volume header: %s",
			 strerror(-rc));
}

int header_load(int dirfd, struct header *header, char *why, size_t why_len)
{
	struct copy *copies = malloc(NR_COPIES * sizeof(*copies));
	struct copy *best = NULL;
	int rc = copies ? load_copies(dirfd, copies) : -ENOMEM;

	memset(header, 0, sizeof(*header));
	if (rc == 0)
		best = choose_copy(copies, &rc);
	if (best) {
		*header = best->header;
		best->header.json = NULL;
		rc = 0;
	} else if (copies) {
		explain_load(rc, copies, why, why_len);
	}
	if (copies)
		drop_copies(copies);
	return rc;
}

static bool same_slots(const struct header *a, const struct header *b)
{
	return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 &&
	       json_equal(json_object_get(a->json, "slots"),
			  json_object_get(b->json, "slots"));
}

int header_load_other(int dirfd, struct header *header)
{
	struct copy *copies = malloc(NR_COPIES * sizeof(*copies));
	int rc = copies ? load_copies(dirfd, copies) : -ENOMEM;

	if (!copies)
		return rc;
	if (rc == 0)
		rc = -ENOENT;
	for (int i = 0; i < NR_COPIES && rc == -ENOENT; i++) {
		struct header *other = &copies[i].header;

		if (copies[i].rc < 0 || same_slots(header, other))
			continue;
		json_decref(header->json);
		*header = *other;
		other->json = NULL;
		rc = 0;
	}
	drop_copies(copies);
	return rc;
}

/* --- authentication -------------------------------------------------------------- */

/* 0, -EBADMSG, or another error of hsm_verify(). */
static int check_mac(const struct header *header, struct hsm_client *hsm)
{
	uint8_t digest[WIRE_MAC_BYTES];
	int rc = header_digest(header, digest);

	return rc < 0 ? rc : hsm_verify(hsm, digest, header->mac);
}

/* Puts the first copy that verifies and is of the same volume in the place of @header. */
static int verify_copies(int dirfd, struct header *header, struct hsm_client *hsm)
{
	struct copy *copies = malloc(NR_COPIES * sizeof(*copies));
	int rc = copies ? load_copies(dirfd, copies) : -ENOMEM;

	if (!copies)
		return rc;
	if (rc == 0)
		rc = -EBADMSG;
	for (int i = 0; i < NR_COPIES && rc == -EBADMSG; i++) {
		struct header *other = &copies[i].header;

		if (copies[i].rc < 0 ||
		    memcmp(other->uuid, header->uuid, sizeof(other->uuid)) != 0)
			continue;
		rc = check_mac(other, hsm);
		if (rc == 0) {
			json_decref(header->json);
			*header = *other;
			other->json = NULL;
		}
	}
	drop_copies(copies);
	return rc;
}

int header_verify(int dirfd, struct header *header, struct hsm_client *hsm, char *why,
		  size_t why_len)
{
	int rc = check_mac(header, hsm);

	if (rc == -EBADMSG)
		rc = verify_copies(dirfd, header, hsm);
	if (rc == -EBADMSG)
		snprintf(
			why, why_len,
			"the volume header was tampered with: neither copy has the right "
			"authentication code");
	else if (rc < 0)
		snprintf(why, why_len, "cannot authenticate the volume header: %s",
			 strerror(-rc));
	return rc;
}

/* --- writing --------------------------------------------------------------------- */

static int authenticate(struct header *header, struct hsm_client *hsm)
{
	uint8_t digest[WIRE_MAC_BYTES];
	int rc;

	header->sequence++;
	rc = header_encode(header);
	if (rc == 0)
		rc = header_digest(header, digest);
	return rc < 0 ? rc : hsm_mac(hsm, digest, header->mac);
}

int header_store(int dirfd, struct header *header, struct hsm_client *hsm)
{
	char *text = NULL;
	int volume = open_volume(dirfd);
	int rc;

	if (volume < 0)
		return volume;
	/* mounts that share the volume share the spare file */
	while (flock(volume, LOCK_EX) < 0 && errno == EINTR)
		;
	rc = authenticate(header, hsm);
	if (rc < 0)
		goto out;
	text = header_text(header);
	if (!text)
		rc = -ENOMEM;
	else if (strlen(text) > HEADER_BYTES_MAX)
		rc = -EFBIG;
	for (int i = 0; i < NR_COPIES && rc == 0; i++)
		rc = replace_file(volume, copy_names[i], text, strlen(text));
out:
	free(text);
	close(volume);
	return rc;
}

static int lock_volume(int dirfd, int how)
{
	int volume = open_volume(dirfd);
	int fd, rc = 0;

	if (volume < 0)
		return volume;
	fd = openat(volume, "lock",
		    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	/* Read-only media; another machine's lock would not be seen there anyway. */
	if (fd < 0 && (errno == EROFS || errno == EACCES))
		fd = openat(volume, "lock",
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
	} else if (flock(fd, how | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
	}
	close(volume);
	return rc < 0 ? rc : fd;
}

int header_lock(int dirfd)
{
	return lock_volume(dirfd, LOCK_EX);
}

int header_lock_shared(int dirfd)
{
	return lock_volume(dirfd, LOCK_SH);
}
