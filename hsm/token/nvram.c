// SPDX-License-Identifier: Apache-2.0
#include "hsm/token/nvram.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

enum {
	DATA_MAX = 1024 * 1024, /* libtpms' whole state is a few dozen KiB */
	DIGEST_BYTES = 32,
};

struct nvram {
	int dir;
	int lock;
};

struct file_header {
	char magic[8];
	uint32_t length; /* little-endian */
	uint32_t reserved;
	uint8_t digest[DIGEST_BYTES];
};
_Static_assert(sizeof(struct file_header) == 48, "header on disk");

static int make_header(const uint8_t *data, uint32_t len, struct file_header *header)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, "hsmftpm1", sizeof(header->magic));
	header->length = htole32(len);
	if (!EVP_Digest(data, len, header->digest, NULL, EVP_sha256(), NULL))
		return -EIO;
	return 0;
}

static int write_all(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* -EUCLEAN when the file ends early. */
static int read_all(int fd, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EUCLEAN;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Opens the directory @path below @at, making it (durably) if it is missing. */
static int open_dir(int at, const char *path)
{
	int fd, ret, made = 0;

	if (mkdirat(at, path, 0700) == 0)
		made = 1;
	else if (errno != EEXIST)
		return -errno;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = made ? sync_dir(fd, "..") : 0;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

static int check_private(int dir, const char *state_dir, char *why, size_t why_len)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	snprintf(why, why_len, "%s/tpm must belong to this user and be closed to others",
		 state_dir);
	return -EACCES;
}

static int take_lock(struct nvram *nvram, const char *state_dir, char *why,
		     size_t why_len)
{
	nvram->lock = openat(nvram->dir, "lock",
			     O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (nvram->lock < 0)
		return -errno;
	if (flock(nvram->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return -errno;
	snprintf(why, why_len, "another process runs the TPM in %s/tpm", state_dir);
	return -EBUSY;
}

int nvram_open(const char *state_dir, struct nvram **out, char *why, size_t why_len)
{
	struct nvram *nvram = malloc(sizeof(*nvram));
	int base, ret;

	if (!nvram)
		return -ENOMEM;
	nvram->dir = nvram->lock = -1;
	why[0] = '\0';
	base = open_dir(AT_FDCWD, state_dir);
	if (base < 0) {
		ret = base;
		goto out;
	}
	ret = nvram->dir = open_dir(base, "tpm");
	if (ret < 0)
		goto out;
	ret = check_private(nvram->dir, state_dir, why, why_len);
	if (ret == 0)
		ret = take_lock(nvram, state_dir, why, why_len);
out:
	if (base >= 0)
		close(base);
	if (ret < 0) {
		if (!why[0])
			snprintf(why, why_len, "cannot use %s/tpm: %s", state_dir,
				 strerror(-ret));
		nvram_close(nvram);
		return ret;
	}
	*out = nvram;
	return 0;
}

void nvram_close(struct nvram *nvram)
{
	if (!nvram)
		return;
	if (nvram->lock >= 0)
		close(nvram->lock);
	if (nvram->dir >= 0)
		close(nvram->dir);
	free(nvram);
}

static int read_blob(int fd, uint8_t **data, uint32_t *len)
{
	struct file_header have, want;
	uint8_t *buf = NULL;
	struct stat st;
	int ret;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= (off_t)sizeof(have) ||
	    st.st_size > (off_t)sizeof(have) + DATA_MAX)
		return -EUCLEAN;
	*len = (uint32_t)((size_t)st.st_size - sizeof(have));
	buf = malloc(*len);
	if (!buf)
		return -ENOMEM;
	ret = read_all(fd, &have, sizeof(have));
	if (ret == 0)
		ret = read_all(fd, buf, *len);
	if (ret == 0)
		ret = make_header(buf, *len, &want);
	if (ret == 0 && memcmp(&have, &want, sizeof(want)) != 0)
		ret = -EUCLEAN;
	if (ret < 0)
		free(buf);
	else
		*data = buf;
	return ret;
}

int nvram_load(struct nvram *nvram, const char *name, uint8_t **data, uint32_t *len)
{
	int fd, ret;

	/* O_NONBLOCK: a FIFO in the file's place must not hang the HSM. */
	fd = openat(nvram->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = read_blob(fd, data, len);
	close(fd);
	return ret;
}

static int write_blob(int fd, const uint8_t *data, uint32_t len)
{
	struct file_header header;
	int ret = make_header(data, len, &header);

	if (ret == 0)
		ret = write_all(fd, &header, sizeof(header));
	if (ret == 0)
		ret = write_all(fd, data, len);
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (close(fd) < 0 && ret == 0)
		ret = -errno;
	return ret;
}

int nvram_store(struct nvram *nvram, const char *name, const uint8_t *data, uint32_t len)
{
	char tmp[64];
	int fd, ret;

	if (len == 0 || len > DATA_MAX ||
	    snprintf(tmp, sizeof(tmp), "%s.new", name) >= (int)sizeof(tmp))
		return -EINVAL;
	fd = openat(nvram->dir, tmp,
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	ret = write_blob(fd, data, len);
	if (ret == 0 && renameat(nvram->dir, tmp, nvram->dir, name) < 0)
		ret = -errno;
	if (ret < 0) {
		unlinkat(nvram->dir, tmp, 0);
		return ret;
	}
	return fsync(nvram->dir) < 0 ? -errno : 0;
}

int nvram_remove(struct nvram *nvram, const char *name)
{
	if (unlinkat(nvram->dir, name, 0) < 0)
		return -errno;
	return fsync(nvram->dir) < 0 ? -errno : 0;
}
