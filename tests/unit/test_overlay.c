/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "image/overlay.h"

/* A layer is made from lines, converted, and told again as lines:
 *
 *	d 755 0:0 a              b, c: devices; p: fifo; l: symbolic link; h: hard link
 *	- 644 1:2 a/file=content
 *	l 777 0:0 link>target
 *
 * with " ATTRIBUTE=VALUE" behind. */

#define MARK ".marker"

static struct sl_buf given, made;

static int add(void *ctx, const void *data, size_t len)
{
	return sl_buf_add(ctx, data, len);
}

static la_ssize_t append(struct archive *archive, void *ctx, const void *data, size_t len)
{
	return sl_buf_add(ctx, data, len) < 0 ? -1 : (la_ssize_t)len;
}

static void write_line(struct archive *tar, char *line)
{
	static const char kinds[] = "d-lhcbp";
	static const mode_t types[] = { AE_IFDIR, AE_IFREG, AE_IFLNK, AE_IFREG, AE_IFCHR, AE_IFBLK, AE_IFIFO };
	struct archive_entry *entry = archive_entry_new();
	unsigned mode;
	int uid, gid, at;
	char *save = NULL;
	assert_int_equal(sscanf(line + 1, " %o %d:%d %n", &mode, &uid, &gid, &at), 3);
	char *name = strtok_r(line + 1 + at, " ", &save), *attribute;
	archive_entry_set_filetype(entry, types[strchr(kinds, *line) - kinds]);
	archive_entry_set_perm(entry, mode);
	archive_entry_set_uid(entry, uid);
	archive_entry_set_gid(entry, gid);
	archive_entry_set_mtime(entry, 1000, 5);
	char *target = strpbrk(name, ">"), *content = target ? NULL : strchr(name, '=');
	if (target)
		*target++ = '\0';
	if (content)
		*content++ = '\0';
	archive_entry_set_pathname(entry, name);
	if (*line == 'l')
		archive_entry_set_symlink(entry, target);
	if (*line == 'h')
		archive_entry_set_hardlink(entry, target);
	if (*line == 'c' || *line == 'b')
		archive_entry_set_rdev(entry, makedev(1, 3));
	while ((attribute = strtok_r(NULL, " ", &save))) {
		char *value = strchr(attribute, '=');
		*value++ = '\0';
		archive_entry_xattr_add_entry(entry, attribute, value, strlen(value));
	}
	archive_entry_set_size(entry, content ? (la_int64_t)strlen(content) : 0);
	assert_true(archive_write_header(tar, entry) >= ARCHIVE_WARN);
	if (content)
		archive_write_data(tar, content, strlen(content));
	archive_entry_free(entry);
}

static void make_layer(const char *lines)
{
	char *copy = strdup(lines), *save = NULL;
	struct archive *tar = archive_write_new();
	sl_buf_clear(&given);
	archive_write_set_format_pax(tar);
	archive_write_set_format_option(tar, "pax", "xattrheader", "SCHILY");
	archive_write_open(tar, &given, NULL, append, NULL);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		write_line(tar, line);
	archive_write_close(tar);
	archive_write_free(tar);
	free(copy);
}

static void tell_entry(struct sl_buf *text, struct archive *tar, struct archive_entry *entry)
{
	char content[256] = "";
	const char *name, *target = archive_entry_symlink(entry) ? archive_entry_symlink(entry) : archive_entry_hardlink(entry);
	const void *value;
	size_t len;
	char kind = archive_entry_hardlink(entry) ? 'h' : archive_entry_filetype(entry) == AE_IFDIR ? 'd' :
		    archive_entry_filetype(entry) == AE_IFLNK ? 'l' : archive_entry_filetype(entry) == AE_IFCHR ? 'c' :
		    archive_entry_filetype(entry) == AE_IFBLK ? 'b' : archive_entry_filetype(entry) == AE_IFIFO ? 'p' : '-';
	archive_read_data(tar, content, sizeof(content) - 1);
	sl_buf_printf(text, "%c %o %d:%d %s", kind, (unsigned)archive_entry_perm(entry), (int)archive_entry_uid(entry),
		      (int)archive_entry_gid(entry), archive_entry_pathname(entry));
	if (kind == '-')
		for (size_t i = 0, n = (size_t)archive_entry_size(entry); i < n; i++)
			sl_buf_printf(text, "%s%c", i ? "" : "=", content[i] ? content[i] : '|');
	if (target)
		sl_buf_printf(text, ">%s", target);
	if (kind == 'c')
		sl_buf_printf(text, "@%d:%d", (int)archive_entry_rdevmajor(entry), (int)archive_entry_rdevminor(entry));
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK)
		sl_buf_printf(text, " %s=%.*s", name, (int)len, (const char *)value);
	sl_buf_puts(text, "\n");
}

static void expect_told(const char *lines)
{
	struct sl_buf text = SL_BUF_INIT;
	struct archive *tar = archive_read_new();
	struct archive_entry *entry;
	int rc;
	archive_read_support_format_tar(tar);
	assert_int_equal(archive_read_open_memory(tar, made.data, made.len), ARCHIVE_OK);
	while ((rc = archive_read_next_header(tar, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		tell_entry(&text, tar, entry);
	archive_read_free(tar);
	assert_string_equal(sl_buf_text(&text), lines);
	sl_buf_release(&text);
}

struct cursor {
	size_t at;
	int fail; /* at the end */
};

/* Little pieces, so that everything straddles them. */
static ssize_t give(void *ctx, const void **data, struct sl_error *err)
{
	struct cursor *cursor = ctx;
	size_t left = given.len - cursor->at, n = left < 700 ? left : 700;
	*data = given.data + cursor->at;
	cursor->at += n;
	if (!n && cursor->fail)
		return sl_error_set(err, SL_FAILED, "the digest does not match");
	return (ssize_t)n;
}

static struct sl_error error;

static int convert(bool first)
{
	struct cursor cursor = { 0 };
	const struct sl_source source = { .read = give, .ctx = &cursor };
	error = (struct sl_error)SL_ERROR_INIT;
	sl_buf_clear(&made);
	int rc = sl_overlay_convert(&source, first, MARK, add, &made, &error);
	if (rc == 0)
		assert_int_equal(cursor.at, given.len);
	return rc;
}

static void gives(const char *layer, const char *lines)
{
	make_layer(layer);
	assert_int_equal(convert(false), 0);
	expect_told(lines);
}

static void is_left_alone(const char *layer)
{
	make_layer(layer);
	assert_int_equal(convert(false), 1);
	assert_true(strlen(error.message) > 0);
}

#define END "- 600 0:0 " MARK "\n"

static void plain_entries_stay(void **state)
{
	gives("d 755 1:2 a\n- 4755 3:4 a/b=text\nl 777 0:0 a/c>/x/y\np 600 0:0 a/p\nb 660 0:6 a/d\nh 4755 3:4 a/h>a/b\n",
	      "d 755 1:2 a/\n- 4755 3:4 a/b=text\nl 777 0:0 a/c>/x/y\np 600 0:0 a/p\nb 660 0:6 a/d\nh 4755 3:4 a/h>a/b\n" END);
}

static void whiteouts_become_devices(void **state)
{
	gives("d 755 0:0 a\n- 600 7:8 a/.wh.gone\n- 0 0:0 .wh.top\n", "d 755 0:0 a/\nc 0 7:8 a/gone@0:0\nc 0 0:0 top@0:0\n" END);
	make_layer("d 755 0:0 a\n- 600 7:8 a/.wh.gone\n- 600 7:8 b/.wh.gone\n- 0 0:0 a/.wh..wh..opq\n");
	assert_int_equal(convert(true), 1);
	make_layer("d 755 0:0 a\n- 600 7:8 a/.wh.gone\n- 0 0:0 a/.wh..wh..opq\n- 600 7:8 b/.wh.gone\n");
	assert_int_equal(convert(true), 0);
	expect_told("d 755 0:0 a/\nd 755 0:0 b/\n" END);
}

static void opaque_directories_have_the_attribute(void **state)
{
	gives("d 750 1:2 a\n- 0 0:0 a/.wh..wh..opq\n- 644 0:0 a/f=x\n",
	      "d 750 1:2 a/\nd 750 1:2 a/ trusted.overlay.opaque=y\n- 644 0:0 a/f=x\n" END);
	gives("- 0 0:0 a/b/.wh..wh..opq\nd 700 1:1 a\n",
	      "d 755 0:0 a/\nd 755 0:0 a/b/\nd 755 0:0 a/b/ trusted.overlay.opaque=y\nd 700 1:1 a/\n- 600 0:0 " MARK "=a/|a/b|\n");
	gives("- 0 0:0 a/.wh..wh..opq\nd 700 1:1 a\n",
	      "d 755 0:0 a/\nd 755 0:0 a/ trusted.overlay.opaque=y\nd 700 1:1 a/ trusted.overlay.opaque=y\n- 600 0:0 " MARK "=a/|\n");
	/* random:110: mkdir in a directory with the set-group-ID bit */
	gives("d 2750 0:7 a\n- 0 0:0 a/b/.wh..wh..opq\n",
	      "d 2750 0:7 a/\nd 755 0:7 a/b/\nd 755 0:7 a/b/ trusted.overlay.opaque=y\n- 600 0:0 " MARK "=a/b|\n");
	is_left_alone("- 0 0:0 .wh..wh..opq\n");
}

static void parents_that_are_not_mentioned_come_first(void **state)
{
	gives("- 644 0:0 a/b/c/f=1\n- 644 0:0 a/g=2\nd 700 5:5 a/b\n",
	      "d 755 0:0 a/\nd 755 0:0 a/b/\nd 755 0:0 a/b/c/\n- 644 0:0 a/b/c/f=1\n- 644 0:0 a/g=2\nd 700 5:5 a/b/\n"
	      "- 600 0:0 " MARK "=a|a/b/|a/b/c|\n");
}

static void names_are_cleaned(void **state)
{
	gives("- 644 0:0 ./a=1\n- 644 0:0 /b=2\n- 644 0:0 ../../c=3\n- 644 0:0 x/../d=4\nd 700 7:7 ./\nd 700 7:7 ..\nd 700 7:7 /\n",
	      "- 644 0:0 a=1\n- 644 0:0 b=2\n- 644 0:0 c=3\n- 644 0:0 d=4\n" END);
}

static void entries_through_links_stay_inside(void **state)
{
	gives("l 777 0:0 abs>/etc\n- 644 0:0 abs/passwd=x\n", "l 777 0:0 abs>/etc\nd 755 0:0 etc/\n- 644 0:0 etc/passwd=x\n- 600 0:0 " MARK "=etc|\n");
	gives("d 755 0:0 d\nl 777 0:0 d/up>../../../../tmp\n- 644 0:0 d/up/x=x\n",
	      "d 755 0:0 d/\nl 777 0:0 d/up>../../../../tmp\nd 755 0:0 tmp/\n- 644 0:0 tmp/x=x\n- 600 0:0 " MARK "=tmp|\n");
	gives("d 755 0:0 r\nl 777 0:0 l1>r\nl 777 0:0 l2>l1/../r\n- 644 0:0 l2/x=x\n",
	      "d 755 0:0 r/\nl 777 0:0 l1>r\nl 777 0:0 l2>l1/../r\n- 644 0:0 r/x=x\n" END);
	gives("d 755 0:0 d\n- 644 0:0 d/f=x\nl 777 0:0 l>/d\nh 644 0:0 l/h>l/f\n",
	      "d 755 0:0 d/\n- 644 0:0 d/f=x\nl 777 0:0 l>/d\nh 644 0:0 d/h>d/f\n" END);
	is_left_alone("l 777 0:0 loop>loop\n- 644 0:0 loop/x=x\n");
}

static void hard_links_that_lead_out_are_left_alone(void **state)
{
	is_left_alone("h 644 0:0 h>/etc/passwd\n");
	is_left_alone("h 644 0:0 h>../../etc/passwd\n");
	is_left_alone("l 777 0:0 l>/etc\nh 644 0:0 h>l/passwd\n");
	is_left_alone("d 755 0:0 d\nh 755 0:0 h>d\n");
	is_left_alone("h 644 0:0 h>h\n");
	is_left_alone("h 644 0:0 h>later\n- 644 0:0 later=x\n");
}

static void hard_links_with_other_metadata_are_left_alone(void **state)
{
	is_left_alone("- 644 0:0 f=x\nh 600 0:0 h>f\n");
	is_left_alone("- 644 0:0 f=x\nh 644 0:1 h>f\n");
	is_left_alone("- 644 0:0 f=x security.capability=abc\nh 644 0:0 h>f\n");
	gives("- 644 0:0 f=x user.a=1 user.b=2\nh 644 0:0 h>f user.b=2 user.a=1\nl 777 0:0 l>f\nh 644 0:0 m>l\n",
	      "- 644 0:0 f=x user.a=1 user.b=2\nh 644 0:0 h>f user.b=2 user.a=1\nl 777 0:0 l>f\nh 644 0:0 m>l\n" END);
}

static void attributes_that_only_the_overlay_may_have_are_dropped(void **state)
{
	gives("d 755 0:0 d trusted.overlay.redirect=/etc trusted.overlay.opaque=y\n- 644 0:0 f=x trusted.x=1 what.ever=1 user.ok=1\n",
	      "d 755 0:0 d/\n- 644 0:0 f=x user.ok=1\n" END);
	is_left_alone("l 777 0:0 l>x user.a=1\n");
	is_left_alone("- 644 0:0 f=x security.selinux=u\n");
	is_left_alone("- 644 0:0 f=x system.posix_acl_access=u\n");
}

static void a_name_twice(void **state)
{
	gives("- 644 0:0 f=1\n- 600 0:0 f=22\nd 755 0:0 f\nd 700 0:0 f\n- 644 0:0 f/x=1\n",
	      "- 644 0:0 f=1\n- 600 0:0 f=22\nd 755 0:0 f/\nd 700 0:0 f/\n- 644 0:0 f/x=1\n" END);
	gives("- 644 0:0 .wh.a\n- 644 0:0 a=1\n", "c 0 0:0 a@0:0\n- 644 0:0 a=1\n" END);
	is_left_alone("d 755 0:0 d\n- 644 0:0 d=x\n");
	is_left_alone("l 777 0:0 l>x\n- 644 0:0 l=x\n");
	is_left_alone("- 644 0:0 l=x\nl 777 0:0 l>x\n");
	is_left_alone("- 644 0:0 a=x\n- 644 0:0 .wh.a\n");
	is_left_alone("- 644 0:0 .wh.a\n- 644 0:0 a/b=x\n");
	is_left_alone("- 644 0:0 a=x\n- 644 0:0 a/b=x\n");
	is_left_alone("- 644 0:0 .wh..wh.plnk\n");
	is_left_alone("- 644 0:0 .wh.\n");
	is_left_alone("- 644 0:0 .wh...\n");
}

static void names_that_are_no_text(void **state)
{
	gives("- 644 0:0 \xc3\xa4=1\n- 644 0:0 \xff\xfe=2\nl 777 0:0 \xe2\x82\xac>\xff\n",
	      "- 644 0:0 \xc3\xa4=1\n- 644 0:0 \xff\xfe=2\nl 777 0:0 \xe2\x82\xac>\xff\n" END);
}

static void an_empty_layer(void **state)
{
	gives("", END);
	sl_buf_clear(&given);
	assert_int_equal(convert(true), 0);
	expect_told(END);
}

/* No marker, wherever it breaks off. */
static void a_source_that_fails_leaves_no_marker(void **state)
{
	make_layer("d 755 0:0 a\n- 644 0:0 a/b=text\n- 644 0:0 a/c=text\n");
	for (size_t whole = given.len, len = 0; len <= whole; len += 64) {
		struct cursor cursor = { .fail = 1 };
		const struct sl_source source = { .read = give, .ctx = &cursor };
		given.len = len;
		sl_buf_clear(&made);
		assert_int_not_equal(sl_overlay_convert(&source, false, MARK, add, &made, &error), 0);
		assert_null(memmem(sl_buf_text(&made), made.len, MARK, strlen(MARK)));
	}
}

static void garbage_is_left_alone(void **state)
{
	sl_buf_clear(&given);
	for (int i = 0; i < 4000; i++)
		sl_buf_printf(&given, "%d garbage ", i);
	assert_int_equal(convert(false), 1);
}

static int refuse(void *ctx, const void *data, size_t len)
{
	return -1;
}

static void a_sink_that_takes_no_more_ends_it(void **state)
{
	struct cursor cursor = { 0 };
	const struct sl_source source = { .read = give, .ctx = &cursor };
	make_layer("- 644 0:0 a=text\n");
	assert_int_equal(sl_overlay_convert(&source, false, MARK, refuse, NULL, &error), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_entries_stay),
		cmocka_unit_test(whiteouts_become_devices),
		cmocka_unit_test(opaque_directories_have_the_attribute),
		cmocka_unit_test(parents_that_are_not_mentioned_come_first),
		cmocka_unit_test(names_are_cleaned),
		cmocka_unit_test(entries_through_links_stay_inside),
		cmocka_unit_test(hard_links_that_lead_out_are_left_alone),
		cmocka_unit_test(hard_links_with_other_metadata_are_left_alone),
		cmocka_unit_test(attributes_that_only_the_overlay_may_have_are_dropped),
		cmocka_unit_test(a_name_twice),
		cmocka_unit_test(names_that_are_no_text),
		cmocka_unit_test(an_empty_layer),
		cmocka_unit_test(a_source_that_fails_leaves_no_marker),
		cmocka_unit_test(garbage_is_left_alone),
		cmocka_unit_test(a_sink_that_takes_no_more_ends_it),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	sl_buf_release(&given);
	sl_buf_release(&made);
	return rc;
}
