/* SPDX-License-Identifier: Apache-2.0 */
/* Packed layers: what comes out, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bytes.h"
#include "image/unpack.h"

static la_ssize_t collect(struct archive *archive, void *ctx, const void *data, size_t len)
{
	return sl_buf_add(ctx, data, len) < 0 ? -1 : (la_ssize_t)len;
}

/* Append @text to @out, packed by libarchive's filter @filter. */
static void pack(const char *text, size_t len, int filter, struct sl_buf *out)
{
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter(archive, filter), ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(archive, 1);
	assert_int_equal(archive_write_open(archive, out, NULL, collect, NULL), ARCHIVE_OK);
	archive_entry_set_filetype(entry, AE_IFREG);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(archive, text, len), (la_ssize_t)len);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_entry_free(entry);
	archive_write_free(archive);
}

/* Unpack all of @bytes as the layer that is @expected; what came out, into @out. */
static int unpack(struct bytes *bytes, const char *expected, size_t expected_len, struct sl_buf *out, struct sl_error *err)
{
	const struct sl_source source = { .read = read_bytes, .ctx = bytes };
	struct sl_digest diff_id;
	const void *data;
	ssize_t n;
	sl_digest_of(expected, expected_len, &diff_id);
	struct sl_unpack *self = sl_unpack_new(&source, &diff_id, err);
	assert_non_null(self);
	while ((n = sl_unpack_read(self, &data, err)) > 0)
		assert_int_equal(sl_buf_add(out, data, (size_t)n), 0);
	sl_unpack_free(self);
	return (int)n;
}

static char *sample(size_t len)
{
	char *text = malloc(len);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(i * i >> 7);
	return text;
}

static void check_filter(int filter)
{
	static const size_t pieces[] = { 1, 7, 4096, 1 << 20 };
	size_t len = 300000;
	char *text = sample(len);
	struct sl_buf packed = SL_BUF_INIT;
	pack(text, len, filter, &packed);
	for (size_t i = 0; i < 4; i++) {
		struct bytes bytes = { packed.data, packed.len, 0, pieces[i], 0 };
		struct sl_buf out = SL_BUF_INIT;
		struct sl_error err = SL_ERROR_INIT;
		assert_int_equal(unpack(&bytes, text, len, &out, &err), 0);
		assert_int_equal(out.len, len);
		assert_memory_equal(out.data, text, len);
		assert_int_equal(bytes.at, packed.len);
		sl_buf_release(&out);
	}
	sl_buf_release(&packed);
	free(text);
}

static void test_gzip(void **state)
{
	check_filter(ARCHIVE_FILTER_GZIP);
}

static void test_zstd(void **state)
{
	check_filter(ARCHIVE_FILTER_ZSTD);
}

static void test_not_packed_at_all(void **state)
{
	check_filter(ARCHIVE_FILTER_NONE);
}

/* As eStargz and pigz write it. */
static void test_gzip_members_in_a_row(void **state)
{
	struct sl_buf packed = SL_BUF_INIT, out = SL_BUF_INIT;
	struct sl_error err = SL_ERROR_INIT;
	pack("one ", 4, ARCHIVE_FILTER_GZIP, &packed);
	pack("two ", 4, ARCHIVE_FILTER_GZIP, &packed);
	pack("three", 5, ARCHIVE_FILTER_GZIP, &packed);
	struct bytes bytes = { packed.data, packed.len, 0, 16, 0 };
	assert_int_equal(unpack(&bytes, "one two three", 13, &out, &err), 0);
	assert_string_equal(sl_buf_text(&out), "one two three");
	sl_buf_release(&packed);
	sl_buf_release(&out);
}

/* As no builder writes it, but gzip knows it. */
static void test_gzip_header_with_a_checksum(void **state)
{
	static const char packed[] = "\037\213\010\002\000\000\000\000\000\003\247\167\001\005\000\372\377\164\150\162\145\145\365\330\305\106\005\000\000\000";
	struct sl_buf out = SL_BUF_INIT;
	struct sl_error err = SL_ERROR_INIT;
	for (size_t piece = 1; piece < 40; piece += 3) {
		struct bytes bytes = { packed, sizeof(packed) - 1, 0, piece, 0 };
		sl_buf_clear(&out);
		if (unpack(&bytes, "three", 5, &out, &err) < 0)
			fail_msg("in pieces of %zu: %s", piece, err.message);
	}
	sl_buf_release(&out);
}

static void test_what_is_refused(void **state)
{
	size_t len = 50000;
	char *text = sample(len);
	struct sl_buf packed = SL_BUF_INIT, out = SL_BUF_INIT;
	struct sl_error err = SL_ERROR_INIT;
	pack(text, len, ARCHIVE_FILTER_GZIP, &packed);

	struct bytes other = { packed.data, packed.len, 0, 4096, 0 };
	assert_int_equal(unpack(&other, "something else", 14, &out, &err), -1);
	assert_non_null(strstr(err.message, "does not match its digest"));

	err = (struct sl_error)SL_ERROR_INIT;
	struct bytes cut = { packed.data, packed.len / 2, 0, 4096, 0 };
	assert_int_equal(unpack(&cut, text, len, &out, &err), -1);
	assert_true(err.status == SL_FAILED);

	err = (struct sl_error)SL_ERROR_INIT;
	struct bytes broken = { packed.data, packed.len, 0, 4096, 8192 };
	if (packed.len > 8192) {
		assert_int_equal(unpack(&broken, text, len, &out, &err), -1);
		assert_string_equal(err.message, "the source broke off");
		assert_int_equal(err.status, SL_CLOSED);
	}
	packed.data[packed.len / 2] ^= 0x55;
	err = (struct sl_error)SL_ERROR_INIT;
	struct bytes flipped = { packed.data, packed.len, 0, 4096, 0 };
	assert_int_equal(unpack(&flipped, text, len, &out, &err), -1);
	sl_buf_release(&packed);
	sl_buf_release(&out);
	free(text);
}

static void test_nothing(void **state)
{
	struct sl_buf packed = SL_BUF_INIT, out = SL_BUF_INIT;
	struct sl_error err = SL_ERROR_INIT;
	pack("", 0, ARCHIVE_FILTER_GZIP, &packed);
	struct bytes empty = { packed.data, packed.len, 0, 4096, 0 };
	assert_int_equal(unpack(&empty, "", 0, &out, &err), 0);
	assert_int_equal(out.len, 0);
	struct bytes lacking = { packed.data, packed.len, 0, 4096, 0 };
	assert_int_equal(unpack(&lacking, "a tar", 5, &out, &err), -1);
	struct bytes none = { "", 0, 0, 1, 0 };
	assert_int_equal(unpack(&none, "", 0, &out, &err), 0);
	sl_buf_release(&packed);
	sl_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_not_packed_at_all),
		cmocka_unit_test(test_gzip_members_in_a_row),
		cmocka_unit_test(test_gzip_header_with_a_checksum),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
