/* SPDX-License-Identifier: Apache-2.0 */
/* gzip streams of every make, in pieces of every size; damaged and cut ones. */
#include "image/gunzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "bytes.h"

static int gunzip(struct bytes *bytes, struct sl_buf *out, struct sl_error *err)
{
	const struct sl_source source = { .read = read_bytes, .ctx = bytes };
	struct sl_gunzip *self = sl_gunzip_new(&source);
	const void *data;
	ssize_t n;
	assert_non_null(self);
	sl_buf_clear(out);
	while ((n = sl_gunzip_read(self, &data, err)) > 0)
		assert_int_equal(sl_buf_add(out, data, (size_t)n), 0);
	if (n == 0)
		assert_int_equal(sl_gunzip_read(self, &data, err), 0);
	sl_gunzip_free(self);
	return (int)n;
}

static void gzip(const char *text, size_t len, int level, int strategy, gz_header *header, struct sl_buf *out)
{
	z_stream z = { 0 };
	char chunk[4096];
	int rc;
	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 9, strategy), Z_OK);
	if (header)
		assert_int_equal(deflateSetHeader(&z, header), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)len;
	do {
		z.next_out = (Bytef *)chunk;
		z.avail_out = sizeof(chunk);
		rc = deflate(&z, Z_FINISH);
		assert_int_equal(sl_buf_add(out, chunk, sizeof(chunk) - z.avail_out), 0);
	} while (rc == Z_OK);
	assert_int_equal(rc, Z_STREAM_END);
	deflateEnd(&z);
}

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* Noise, runs and repetitions from near and far. */
static char *sample(size_t len)
{
	char *text = malloc(len);
	for (size_t i = 0; i < len;) {
		size_t n = 1 + draw(3000), back = 1 + draw(32768);
		uint32_t how = draw(3);
		for (n = n < len - i ? n : len - i; n; n--, i++)
			if (how == 2 && back <= i)
				text[i] = text[i - back];
			else
				text[i] = (char)(how == 0 ? draw(256) : back);
	}
	return text;
}

static void assert_comes_out(const struct sl_buf *packed, const char *text, size_t len)
{
	static const size_t pieces[] = { 3, 19, 65536, 1 << 24 };
	struct sl_buf out = SL_BUF_INIT;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct sl_error err = SL_ERROR_INIT;
		struct bytes bytes = { packed->data, packed->len, 0, pieces[i], 0 };
		if (gunzip(&bytes, &out, &err) < 0)
			fail_msg("in pieces of %zu: %s", pieces[i], err.message);
		assert_int_equal(out.len, len);
		assert_memory_equal(sl_buf_text(&out), text, len);
	}
	sl_buf_release(&out);
}

static void test_every_make(void **state)
{
	(void)state;
	static const size_t lengths[] = { 0, 1, 70000, 1500000 };
	static const int strategies[] = { Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_FIXED, Z_RLE };
	for (size_t i = 0; i < 4; i++) {
		char *text = sample(lengths[i] + 1);
		for (int level = 0; level <= 9; level += 3)
			for (size_t k = 0; k < 4; k++) {
				struct sl_buf packed = SL_BUF_INIT;
				gzip(text, lengths[i], level, strategies[k], NULL, &packed);
				assert_true(sl_gunzip_knows(packed.data, packed.len));
				assert_comes_out(&packed, text, lengths[i]);
				sl_buf_release(&packed);
			}
		free(text);
	}
}

static void test_every_field_of_a_header(void **state)
{
	(void)state;
	gz_header header = { .text = 1, .time = 1700000000, .os = 3, .extra = (Bytef *)"AB\2\0xy", .extra_len = 6,
			     .name = (Bytef *)"layer.tar", .comment = (Bytef *)"made by hand" };
	struct sl_buf packed = SL_BUF_INIT;
	gzip("what it holds", 13, 6, Z_DEFAULT_STRATEGY, &header, &packed);
	assert_true(sl_gunzip_knows(packed.data, packed.len));
	assert_comes_out(&packed, "what it holds", 13);
	sl_buf_clear(&packed);
	/* libarchive is for this one (test_unpack) */
	header.hcrc = 1;
	gzip("what it holds", 13, 6, Z_DEFAULT_STRATEGY, &header, &packed);
	assert_false(sl_gunzip_knows(packed.data, packed.len));
	sl_buf_release(&packed);
}

static void test_members_and_what_is_behind_them(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
	} tails[] = { { "", 0 }, { "\0", 1 }, { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 23 }, { "something else that is not gzip", 31 }, { "\x1f", 1 } };
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct sl_buf packed = SL_BUF_INIT;
		gzip("one ", 4, 6, Z_DEFAULT_STRATEGY, NULL, &packed);
		gzip("", 0, 6, Z_DEFAULT_STRATEGY, NULL, &packed);
		gzip("two ", 4, 0, Z_DEFAULT_STRATEGY, NULL, &packed);
		gzip("three", 5, 9, Z_DEFAULT_STRATEGY, NULL, &packed);
		assert_int_equal(sl_buf_add(&packed, tails[i].bytes, tails[i].len), 0);
		assert_comes_out(&packed, "one two three", 13);
		sl_buf_release(&packed);
	}
}

static void test_cut_anywhere(void **state)
{
	(void)state;
	struct sl_buf packed = SL_BUF_INIT, out = SL_BUF_INIT;
	char *text = sample(3000);
	gzip(text, 3000, 6, Z_DEFAULT_STRATEGY, NULL, &packed);
	size_t whole = packed.len;
	for (packed.len = 3; packed.len < whole; packed.len++)
		for (size_t piece = 5; piece < 100000; piece *= 100) {
			struct sl_error err = SL_ERROR_INIT;
			struct bytes bytes = { packed.data, packed.len, 0, piece, 0 };
			assert_int_equal(gunzip(&bytes, &out, &err), -1);
			assert_int_equal(err.status, SL_FAILED);
			assert_string_equal(err.message, "its gzip stream is cut off");
		}
	packed.len = whole;
	struct sl_error err = SL_ERROR_INIT;
	struct bytes broken = { packed.data, packed.len, 0, 100, 300 };
	assert_int_equal(gunzip(&broken, &out, &err), -1);
	assert_int_equal(err.status, SL_CLOSED);
	assert_string_equal(err.message, "the source broke off");
	sl_buf_release(&packed);
	sl_buf_release(&out);
	free(text);
}

/* Whatever is damaged: an error, or at worst other bytes, which have another digest. */
static void test_damaged(void **state)
{
	(void)state;
	struct sl_buf packed = SL_BUF_INIT, out = SL_BUF_INIT;
	size_t len = 20000, refused = 0;
	char *text = sample(len);
	gzip(text, len, 6, Z_DEFAULT_STRATEGY, NULL, &packed);
	for (size_t i = 0; i < 3000; i++) {
		struct sl_error err = SL_ERROR_INIT;
		struct bytes bytes = { packed.data, packed.len, 0, 1 + draw(5000), 0 };
		size_t at = 10 + draw((uint32_t)packed.len - 10), more = 10 + draw((uint32_t)packed.len - 10);
		char kept = packed.data[at], other = packed.data[more];
		packed.data[at] = (char)draw(256);
		packed.data[more] = (char)draw(256);
		bool same = packed.data[at] == kept && packed.data[more] == other;
		int rc = gunzip(&bytes, &out, &err);
		if (!same && rc < 0)
			refused++;
		else
			assert_true(out.len == len && !memcmp(out.data, text, len));
		packed.data[more] = other;
		packed.data[at] = kept;
	}
	assert_true(refused > 2900);
	/* its checksum, and its length */
	for (size_t back = 1; back <= 8; back++) {
		struct sl_error err = SL_ERROR_INIT;
		struct bytes bytes = { packed.data, packed.len, 0, 4096, 0 };
		packed.data[packed.len - back] ^= 1;
		assert_int_equal(gunzip(&bytes, &out, &err), -1);
		assert_string_equal(err.message, "its gzip stream is damaged");
		packed.data[packed.len - back] ^= 1;
	}
	assert_comes_out(&packed, text, len);
	sl_buf_release(&packed);
	sl_buf_release(&out);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_make),
		cmocka_unit_test(test_every_field_of_a_header),
		cmocka_unit_test(test_members_and_what_is_behind_them),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
