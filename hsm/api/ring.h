/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring: shared memory between one file-system worker (the client) and the HSM.
 * hsm/PROTOCOL.md describes it for the writer of a second client.
 *
 * One memfd, sealed SHRINK|GROW|SEAL, holds a struct ring_shared and, from
 * RING_ARENA_OFFSET on, the arena. Descriptors name arena ranges by offset and length.
 * Either side writes only its own fields and keeps its own indices; what it reads of the
 * other's is a hint until checked.
 *
 * The client has at most RING_ENTRIES operations between submission and reaping, so
 * neither queue can overflow and heads need not be shared.
 *
 * Ordering: a descriptor is written before the tail that covers it is stored with
 * release; the tail is loaded with acquire before the descriptor is read. Sleeping: set
 * the sleeps flag, full fence, look at the tail again, then futex_wait on the tail; the
 * other side stores the tail, full fence, looks at the flag, then wakes. Without both
 * fences a wake can be lost.
 */
#ifndef HSM_API_RING_H
#define HSM_API_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hsm/api/page.h"
#include "hsm/api/wire.h"

enum {
	RING_ENTRIES = 64,
	RING_MAX_PAGES = 260,	/* 1 MiB at any offset touches as many 4064-byte pages */
	RING_MAX_ITEMS = 1024,	/* strings in one batch */
	RING_STRING_MAX = 4096, /* bytes of one plaintext string */
	RING_STRING_OVERHEAD = 32, /* a sealed one is at most so much longer */
	RING_ARENA_OFFSET = 16384,
	RING_ARENA_MAX = 64 * 1024 * 1024,
};

enum ring_op {
	/*
	 * Opens pages first_page..+count: src/src_len is what the backing file holds
	 * (pages 4096 bytes apart, only the last may be shorter), dst gets the content
	 * without gaps.
	 */
	RING_OPEN = 1,
	/*
	 * Seals pages: data src/src_len goes to byte @skip of the first page's content;
	 * all pages but the last are full and the last has @last_len bytes. Bytes not
	 * covered by data come from the old page (old_first for the first page, old_last
	 * for the last of several; ciphertext as on disk, length 0 for none), else are
	 * zero. dst gets the sealed pages 4096 bytes apart. A PATCH is this with old
	 * pages.
	 */
	RING_SEAL = 2,
	/*
	 * @count strings of a directory (file_id = directory id), deterministic. src and
	 * dst are packed struct ring_string.
	 */
	RING_NAME_SEAL = 3,
	RING_NAME_OPEN = 4,
	/* The same for symlink targets, attributes and ids: file_id = what they are bound
	   to. */
	RING_BLOB_SEAL = 5,
	RING_BLOB_OPEN = 6,
};

/* ring_sqe.flags */
enum {
	RING_SEAL_FINAL = 1 << 0, /* SEAL: the last page is the file's last */
	RING_OPEN_HOLES = 1 << 1, /* OPEN, SEAL's old pages: a page of zeros is a hole */
};

/* ring_cqe.flags, OPEN and SEAL */
enum {
	RING_SAW_FINAL_LAST = 1 << 0, /* the last opened page is FINAL (SEAL: old_last) */
	RING_SAW_FINAL_INNER = 1 << 1, /* one before it is (SEAL: old_first of several) */
	RING_SAW_HOLE = 1 << 2,
};

/*
 * Completion status: 0 or
 *  -EBADMSG       a page, name or blob does not verify (bad_page: which); its output and
 *                 that of all behind it is wiped
 *  -EKEYEXPIRED   the handle was unused for its lifetime: renew it
 *  -EKEYREVOKED   the session is locked or its lease is over
 *  -EKEYREJECTED  not a handle of this queue, or one that was replaced and used
 *  -EACCES        the handle may not do this operation
 *  -EDQUOT        the session's limit of opened bytes is reached: later again
 *  -EIO           the HSM failed
 *  -EPROTO        the descriptor breaks the protocol; it is the connection's last
 */
struct ring_sqe {
	uint8_t handle[WIRE_HANDLE_BYTES];
	uint64_t generation;
	uint64_t cookie; /* returned as it is */
	uint8_t op;	 /* enum ring_op */
	uint8_t flags;
	uint16_t count; /* pages or strings */
	uint32_t last_len;
	uint8_t file_id[PAGE_ID_BYTES];
	uint64_t first_page;
	uint32_t src;
	uint32_t src_len;
	uint32_t dst;
	uint32_t dst_len; /* room at dst */
	uint32_t old_first;
	uint32_t old_first_len;
	uint32_t old_last;
	uint32_t old_last_len;
	uint32_t skip;
	uint32_t header_flags; /* SEAL of page 0: FILE_* of the file header */
	uint8_t reserved[24];
};

struct ring_cqe {
	uint64_t cookie;
	int32_t status;
	uint32_t len;			   /* bytes written at dst */
	uint8_t handle[WIRE_HANDLE_BYTES]; /* the next generation */
	uint64_t generation;
	uint32_t bad_page; /* -EBADMSG: index within the extent or batch */
	uint32_t flags;
	uint32_t header_flags; /* OPEN of page 0, SEAL's old one: FILE_* as authenticated
				*/
	uint8_t reserved[12];
};

/*
 * One string of a batch, followed by @len bytes and padding to a multiple of 4. In the
 * output, @status is 0 or EBADMSG (then len is 0): one bad name does not fail the batch.
 */
struct ring_string {
	uint16_t len;
	uint16_t status;
};

struct ring_shared {
	_Alignas(64) uint32_t sq_tail; /* client: next descriptor to write */
	uint32_t client_sleeps;	       /* client: wake me on cq_tail */
	uint32_t client_core;	       /* client: where it last looked, from 1; a hint */
	uint32_t client_patience;      /* client: ns to look for work, plus 1; a hint */
	_Alignas(64) uint32_t cq_tail; /* HSM: next completion to write */
	uint32_t hsm_sleeps;	       /* HSM: wake me on sq_tail */
	_Alignas(64) struct ring_sqe sq[RING_ENTRIES];
	struct ring_cqe cq[RING_ENTRIES];
};

_Static_assert(sizeof(struct ring_sqe) == 128, "submission descriptor");
_Static_assert(sizeof(struct ring_cqe) == 64, "completion descriptor");
_Static_assert(sizeof(struct ring_shared) <= RING_ARENA_OFFSET, "arena begins behind");
_Static_assert((RING_ENTRIES & (RING_ENTRIES - 1)) == 0, "indices are masked");

static inline size_t ring_string_size(uint32_t len)
{
	return sizeof(struct ring_string) + ((len + 3u) & ~3u);
}

/* Pages of an extent that takes longer than switching between processes does. */
enum { RING_LONG_PAGES = 16 };

static inline bool ring_is_long(const struct ring_sqe *sqe)
{
	return (sqe->op == RING_OPEN || sqe->op == RING_SEAL) &&
	       sqe->count >= RING_LONG_PAGES;
}

/* What a side looks for at most if nobody says otherwise: a sleep and wake across cores
 * costs 30-60 us. */
enum { RING_SPIN_NS = 150000 };

/*
 * Adaptive spinning: how long a side looks before it sleeps. Grows when a spin found
 * work, shrinks when it did not. Beside a process that never sleeps there is no spinning,
 * and for what takes long none beside a process that has anything to do.
 */
struct ring_spin {
	uint32_t max_ns; /* at most RING_SPIN_NS; 0: it sleeps at once */
	uint32_t budget_ns;
	uint32_t crowded;  /* so many waits sleep at once */
	uint32_t patience; /* so many did when the core was last crowded; 0: it is not */
	bool brief;	   /* the peer needs the core: look only for a moment */
	bool is_long;	   /* what is waited for, see ring_spin_expect() */
};

/*
 * Whether what comes next presumably takes long: to be there at once gains less then than
 * it costs whoever has to share the core with the one that looks.
 */
void ring_spin_expect(struct ring_spin *spin, bool is_long);

/*
 * Waits until *@word differs from @seen, spinning up to the budget and then sleeping on
 * a shared futex with *@sleeps set, for at most @timeout_ms. Returns the value last seen.
 */
uint32_t ring_wait(struct ring_spin *spin, uint32_t *word, uint32_t *sleeps,
		   uint32_t seen, unsigned timeout_ms);

/* Stores @value to *@word and wakes a peer that says it sleeps on it. */
void ring_publish(uint32_t *word, uint32_t value, uint32_t *peer_sleeps);

/* Wakes whoever sleeps on @word without changing it. */
void ring_wake(uint32_t *word);

#endif
