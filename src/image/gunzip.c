/* SPDX-License-Identifier: Apache-2.0 */
#include "image/gunzip.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef SL_WITH_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

#define OUT_SIZE 131072

/* What a library is made to say of one step. */
enum step { STEP_GOES_ON, STEP_MEMBER_ENDS, STEP_BAD };

struct sl_gunzip {
	const struct sl_source *packed;
#ifdef SL_WITH_ISAL
	struct inflate_state z;
#else
	z_stream z;
#endif
	bool one_whole; /* member has been read */
	bool inside;    /* of a member, its header included */
	bool packed_ended, ended;
	unsigned char out[OUT_SIZE];
};

#ifdef SL_WITH_ISAL

static bool start(struct sl_gunzip *self)
{
	isal_inflate_init(&self->z);
	return true;
}

static void next_member(struct sl_gunzip *self)
{
	isal_inflate_reset(&self->z);
	self->z.crc_flag = ISAL_GZIP;
}

static enum step step(struct sl_gunzip *self)
{
	if (isal_inflate(&self->z) < 0)
		return STEP_BAD;
	return self->z.block_state == ISAL_BLOCK_FINISH ? STEP_MEMBER_ENDS : STEP_GOES_ON;
}

static void stop(struct sl_gunzip *self)
{
}

#else

#define WINDOW_GZIP (15 + 16) /* zlib.h, inflateInit2: nothing but gzip */

static bool start(struct sl_gunzip *self)
{
	return inflateInit2(&self->z, WINDOW_GZIP) == Z_OK;
}

static void next_member(struct sl_gunzip *self)
{
	inflateReset(&self->z);
}

static enum step step(struct sl_gunzip *self)
{
	int rc = inflate(&self->z, Z_NO_FLUSH);
	if (rc == Z_STREAM_END)
		return STEP_MEMBER_ENDS;
	return rc == Z_OK || rc == Z_BUF_ERROR ? STEP_GOES_ON : STEP_BAD;
}

static void stop(struct sl_gunzip *self)
{
	inflateEnd(&self->z);
}

#endif

/* RFC 1952, 2.3.1: the header has a checksum of its own.  No builder writes one, and
 * ISA-L 2.30 refuses a good one that comes in two pieces. */
#define FHCRC 2

bool sl_gunzip_knows(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	return len >= 4 && bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == 8 && !(bytes[3] & FHCRC);
}

struct sl_gunzip *sl_gunzip_new(const struct sl_source *packed)
{
	struct sl_gunzip *self = calloc(1, sizeof(*self));
	if (!self || !start(self)) {
		free(self);
		return NULL;
	}
	self->packed = packed;
	return self;
}

void sl_gunzip_free(struct sl_gunzip *self)
{
	if (!self)
		return;
	stop(self);
	free(self);
}

static int fill(struct sl_gunzip *self, struct sl_error *err)
{
	const void *data;
	ssize_t n = self->packed->read(self->packed->ctx, &data, err);
	if (n < 0)
		return -1;
	if (n > INT_MAX)
		return sl_error_set(err, SL_FAILED, "too much at once");
	self->packed_ended = n == 0;
	self->z.next_in = (unsigned char *)(uintptr_t)data;
	self->z.avail_in = (unsigned)n;
	return 0;
}

ssize_t sl_gunzip_read(struct sl_gunzip *self, const void **data, struct sl_error *err)
{
	self->z.next_out = self->out;
	self->z.avail_out = OUT_SIZE;
	while (!self->ended && self->z.avail_out == OUT_SIZE) {
		if (!self->z.avail_in && !self->packed_ended && fill(self, err) < 0)
			return -1;
		if (!self->inside) {
			self->ended = self->packed_ended;
			if (self->ended)
				break;
			next_member(self);
			self->inside = true;
		}
		bool starved = !self->z.avail_in;
		enum step what = step(self);
		if (what == STEP_GOES_ON && (!starved || self->z.avail_out < OUT_SIZE))
			continue;
		if (what == STEP_MEMBER_ENDS) {
			self->one_whole = true;
			self->inside = false;
		} else if (self->one_whole && self->z.total_out == 0) {
			self->ended = true; /* no member: what gunzip calls trailing garbage */
		} else {
			return sl_error_set(err, SL_FAILED, "its gzip stream is %s", what == STEP_BAD ? "damaged" : "cut off");
		}
	}
	*data = self->out;
	return OUT_SIZE - self->z.avail_out;
}
