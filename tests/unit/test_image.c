/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "image/archive.h"
#include "image/image.h"
#include "image/layout.h"
#include "image/v1id.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void image_from_config(struct sl_image *image, const char *config)
{
	struct sl_error err = SL_ERROR_INIT;
	*image = (struct sl_image){ .requested = strdup("app:dev"), .name = strdup("docker.io/library/app:dev") };
	if (sl_image_set_config(image, config, strlen(config), &err) < 0)
		fail_msg("%s", err.message);
}

static const char two_layers[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
				 "\"sha256:" HEX_A "\",\"sha256:" HEX_B "\"]}}";

static void the_first_chain_id_is_the_diff_id(void **state)
{
	struct sl_digest diff, chain, none = SL_DIGEST_NONE;
	assert_true(sl_digest_parse("sha256:" HEX_A, &diff));
	sl_chain_next(&none, &diff, &chain);
	assert_string_equal(chain.text, diff.text);
}

static void a_chain_id_hashes_parent_and_diff_id(void **state)
{
	/* printf 'sha256:aa… sha256:bb…' | sha256sum */
	struct sl_digest a, b, chain, expected;
	sl_digest_parse("sha256:" HEX_A, &a);
	sl_digest_parse("sha256:" HEX_B, &b);
	sl_chain_next(&a, &b, &chain);
	static const char text[] = "sha256:" HEX_A " sha256:" HEX_B;
	sl_digest_of(text, strlen(text), &expected);
	assert_string_equal(chain.text, expected.text);
}

static void a_digest_has_exactly_64_lower_case_digits(void **state)
{
	struct sl_digest d;
	assert_true(sl_digest_parse("sha256:" HEX_A, &d));
	assert_false(sl_digest_parse("sha256:" HEX_A "a", &d));
	assert_false(sl_digest_parse("sha256:AAAA", &d));
	assert_false(sl_digest_parse("sha512:" HEX_A, &d));
	assert_false(sl_digest_parse(HEX_A, &d));
	assert_false(sl_digest_parse(NULL, &d));
}

static void unknown_digests_are_never_equal(void **state)
{
	struct sl_digest a = SL_DIGEST_NONE, b = SL_DIGEST_NONE;
	assert_false(sl_digest_equal(&a, &b));
}

static void a_config_sets_layers_platform_and_digest(void **state)
{
	struct sl_image image;
	image_from_config(&image, two_layers);
	assert_int_equal(image.n_layers, 2);
	assert_string_equal(image.architecture, "amd64");
	assert_string_equal(image.layers[0].chain_id.text, "sha256:" HEX_A);
	struct sl_digest digest;
	sl_digest_of(two_layers, strlen(two_layers), &digest);
	assert_string_equal(image.config.text, digest.text);
	sl_image_release(&image);
}

static void a_config_that_contradicts_the_engine_is_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image image = { .requested = strdup("app:dev") };
	sl_autojson json_t *said = json_pack("[s]", "sha256:" HEX_A);
	assert_int_equal(sl_image_set_layers(&image, said, &err), 0);
	assert_int_equal(sl_image_set_config(&image, two_layers, strlen(two_layers), &err), -1);
	assert_non_null(strstr(err.message, "the exported config lists 2 layers, the engine said 1"));
	sl_image_release(&image);
}

static void a_config_of_another_digest_is_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image image = { .requested = strdup("app:dev") };
	sl_digest_parse("sha256:" HEX_A, &image.config);
	assert_int_equal(sl_image_set_config(&image, two_layers, strlen(two_layers), &err), -1);
	assert_non_null(strstr(err.message, "not sha256:" HEX_A));
	sl_image_release(&image);
}

static void a_manifest_needs_every_layers_blob(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image image;
	image_from_config(&image, two_layers);
	assert_int_equal(sl_image_make_manifest(&image, &err), -1);
	assert_non_null(strstr(err.message, "did not contain layer 1"));
	for (size_t i = 0; i < 2; i++) {
		image.layers[i].blob = image.layers[i].diff_id;
		image.layers[i].size = 1024;
	}
	assert_int_equal(sl_image_make_manifest(&image, &err), 0);
	assert_non_null(strstr(image.manifest_text, "\"size\":1024"));
	sl_image_release(&image);
}

static void too_many_layers_are_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image image = { .requested = strdup("app:dev") };
	sl_autojson json_t *list = json_array();
	for (int i = 0; i <= SL_LAYERS_MAX; i++)
		json_array_append_new(list, json_string("sha256:" HEX_A));
	assert_int_equal(sl_image_set_layers(&image, list, &err), -1);
	assert_non_null(strstr(err.message, "at most 512"));
	sl_image_release(&image);
}

/* What docker 20.10 wrote for the lowest layer of a real image, whose chain ID
 * and directory name are known. */
static void a_v1_id_tells_the_layer(void **state)
{
	static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\",\"sha256:" HEX_B "\"]}}";
	static const char base[] = "{\"container_config\":{\"Hostname\":\"\",\"Env\":null},\"created\":\"1970-01-01T00:00:00Z\",\"layer_id\":\"sha256:" HEX_A "\"}";
	static const char json[] = "{\"id\":\"x\",\"created\":\"1970-01-01T00:00:00Z\",\"container_config\":{\"Hostname\":\"\",\"Env\":null},\"os\":\"linux\"}";
	struct sl_image image;
	struct sl_digest id;
	image_from_config(&image, config);
	sl_digest_of(base, strlen(base), &id);
	assert_int_equal(sl_v1id_position(&image, sl_digest_hex(&id), json, strlen(json)), 0);
	assert_int_equal(sl_v1id_position(&image, HEX_B, json, strlen(json)), -1);
	assert_int_equal(sl_v1id_position(&image, HEX_B, "no json", 7), -1);
	sl_image_release(&image);
}

static void html_characters_are_hashed_as_go_writes_them(void **state)
{
	static const char base[] = "{\"config\":{\"Cmd\":[\"a \\u0026\\u0026 b \\u003e c\"]},\"layer_id\":\"sha256:" HEX_A "\",\"os\":\"linux\"}";
	static const char json[] = "{\"id\":\"x\",\"config\":{\"Cmd\":[\"a \\u0026\\u0026 b \\u003e c\"]},\"os\":\"linux\"}";
	struct sl_image image;
	struct sl_digest id;
	image_from_config(&image, "{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\"]}}");
	sl_digest_of(base, strlen(base), &id);
	assert_int_equal(sl_v1id_position(&image, sl_digest_hex(&id), json, strlen(json)), 0);
	sl_image_release(&image);
}

/* ---- layouts ---- */

static enum sl_layout_kind classify(struct sl_layout *layout, const char *name, int64_t size, struct sl_digest *diff_id)
{
	struct sl_digest digest;
	const struct sl_member member = { .type = SL_MEMBER_FILE, .name = name, .size = size };
	return sl_layout_classify(layout, &member, diff_id, &digest);
}

static void an_expected_layer_is_known_by_its_blob_name(void **state)
{
	struct sl_image image;
	struct sl_digest diff;
	image_from_config(&image, two_layers);
	struct sl_layout *layout = sl_layout_new(&image, 1);
	assert_int_equal(classify(layout, "blobs/sha256/" HEX_A, 1 << 30, &diff), SL_LAYOUT_BLOB);
	assert_string_equal(diff.text, "sha256:" HEX_A);
	assert_int_equal(classify(layout, HEX_B ".tar", 10, &diff), SL_LAYOUT_BLOB);
	assert_string_equal(diff.text, "sha256:" HEX_B);
	sl_layout_free(layout);
	sl_image_release(&image);
}

static void an_unexpected_large_blob_is_of_unknown_identity(void **state)
{
	struct sl_digest diff;
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	assert_int_equal(classify(layout, "blobs/sha256/" HEX_A, 1 << 30, &diff), SL_LAYOUT_BLOB);
	assert_false(sl_digest_known(&diff));
	assert_int_equal(classify(layout, "blobs/sha256/" HEX_A, 500, &diff), SL_LAYOUT_MAYBE);
	assert_int_equal(classify(layout, "../../etc/passwd", 500, &diff), SL_LAYOUT_BLOB);
	sl_layout_free(layout);
}

static void documents_are_bounded(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	size_t len = 7 << 20;
	sl_autofree char *text = malloc(len);
	memset(text, ' ', len);
	int rc = 0;
	for (int i = 0; i < 8 && rc == 0; i++)
		rc = sl_layout_add_document(layout, "a.json", text, len, &err);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.message, "24 MiB"));
	sl_layout_free(layout);
}

static void a_document_must_match_its_blob_name(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	assert_int_equal(sl_layout_add_document(layout, "blobs/sha256/" HEX_A, "{}", 2, &err), -1);
	assert_non_null(strstr(err.message, "does not match its digest"));
	sl_layout_free(layout);
}

static void add_document(struct sl_layout *layout, const char *name, const char *text)
{
	struct sl_error err = SL_ERROR_INIT;
	if (sl_layout_add_document(layout, name, text, strlen(text), &err) < 0)
		fail_msg("%s", err.message);
}

static void a_docker_archive_resolves_through_links(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image *images = NULL;
	size_t n = 0;
	struct sl_digest a;
	sl_digest_parse("sha256:" HEX_A, &a);
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	add_document(layout, "c.json", "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\",\"sha256:" HEX_A "\"]}}");
	add_document(layout, "manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":[\"app:dev\"],\"Layers\":[\"1/layer.tar\",\"2/layer.tar\"]}]");
	assert_int_equal(sl_layout_add_blob(layout, "1/layer.tar", &a, 2048, "x", 1, &err), 0);
	assert_int_equal(sl_layout_add_link(layout, "2/layer.tar", "../1/layer.tar", &err), 0);
	if (sl_layout_resolve(layout, "amd64", &images, &n, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(n, 1);
	assert_string_equal(images[0].name, "app:dev");
	assert_int_equal(images[0].layers[1].size, 2048);
	sl_image_release(&images[0]);
	free(images);
	sl_layout_free(layout);
}

static void a_link_loop_ends(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image *images = NULL;
	size_t n = 0;
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	add_document(layout, "c.json", "{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\"]}}");
	add_document(layout, "manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":[\"app:dev\"],\"Layers\":[\"1/layer.tar\"]}]");
	assert_int_equal(sl_layout_add_link(layout, "1/layer.tar", "../2/layer.tar", &err), 0);
	assert_int_equal(sl_layout_add_link(layout, "2/layer.tar", "../1/layer.tar", &err), 0);
	assert_int_equal(sl_layout_resolve(layout, "amd64", &images, &n, &err), -1);
	assert_non_null(strstr(err.message, "does not contain layer 1"));
	sl_layout_free(layout);
}

static void a_layer_whose_bytes_are_others_is_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image *images = NULL;
	size_t n = 0;
	struct sl_digest b;
	sl_digest_parse("sha256:" HEX_B, &b);
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	add_document(layout, "c.json", "{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\"]}}");
	add_document(layout, "manifest.json", "[{\"Config\":\"c.json\",\"RepoTags\":[\"app:dev\"],\"Layers\":[\"1/layer.tar\"]}]");
	assert_int_equal(sl_layout_add_blob(layout, "1/layer.tar", &b, 2048, "x", 1, &err), 0);
	assert_int_equal(sl_layout_resolve(layout, "amd64", &images, &n, &err), -1);
	assert_non_null(strstr(err.message, "does not match its digest"));
	sl_layout_free(layout);
}

static void an_archive_without_a_manifest_is_refused(void **state)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_image *images = NULL;
	size_t n = 0;
	struct sl_layout *layout = sl_layout_new(NULL, 0);
	assert_int_equal(sl_layout_resolve(layout, "amd64", &images, &n, &err), -1);
	assert_non_null(strstr(err.message, "not an image archive, or a truncated one"));
	sl_layout_free(layout);
}

/* ---- tar ---- */

struct collected {
	struct sl_buf bytes;
	size_t at;
};

static int put(void *ctx, const void *data, size_t len)
{
	return sl_buf_add(&((struct collected *)ctx)->bytes, data, len);
}

static ssize_t get(void *ctx, const void **data, struct sl_error *err)
{
	struct collected *c = ctx;
	size_t n = c->bytes.len - c->at;
	*data = c->bytes.data + c->at;
	c->at = c->bytes.len;
	return (ssize_t)n;
}

static void write_archive(struct collected *c, size_t size)
{
	sl_autofree char *zeros = calloc(1, size);
	struct sl_tar_writer *writer = sl_tar_writer_new(put, c);
	assert_int_equal(sl_tar_writer_begin(writer, "blobs/sha256/" HEX_A, (int64_t)size), 0);
	assert_int_equal(sl_tar_writer_data(writer, zeros, size), 0);
	assert_int_equal(sl_tar_writer_end_member(writer), 0);
	assert_int_equal(sl_tar_writer_end(writer), 0);
	sl_tar_writer_free(writer);
}

static void what_is_written_reads_back(void **state)
{
	struct collected c = { 0 };
	struct sl_error err = SL_ERROR_INIT;
	struct sl_member member;
	const void *data;
	write_archive(&c, 1000);
	assert_int_equal(c.bytes.len, 512 + 1024 + 1024); /* head, padded body, end: no pax headers */
	const struct sl_source source = { .read = get, .ctx = &c };
	struct sl_tar_reader *reader = sl_tar_reader_new(&source, &err);
	assert_int_equal(sl_tar_reader_next(reader, &member, &err), 1);
	assert_string_equal(member.name, "blobs/sha256/" HEX_A);
	assert_int_equal(member.size, 1000);
	int64_t seen = 0;
	ssize_t n;
	while ((n = sl_tar_reader_data(reader, &data, &err)) > 0)
		seen += n;
	assert_int_equal(n, 0);
	assert_int_equal(seen, 1000);
	assert_int_equal(sl_tar_reader_next(reader, &member, &err), 0);
	sl_tar_reader_free(reader);
	sl_buf_release(&c.bytes);
}

static void a_member_cut_short_is_an_error(void **state)
{
	struct collected c = { 0 };
	struct sl_error err = SL_ERROR_INIT;
	struct sl_member member;
	const void *data;
	write_archive(&c, 1000);
	c.bytes.len = 900;
	const struct sl_source source = { .read = get, .ctx = &c };
	struct sl_tar_reader *reader = sl_tar_reader_new(&source, &err);
	assert_int_equal(sl_tar_reader_next(reader, &member, &err), 1);
	ssize_t n;
	while ((n = sl_tar_reader_data(reader, &data, &err)) > 0)
		;
	assert_int_equal(n, -1);
	assert_non_null(strstr(err.message, "truncated"));
	sl_tar_reader_free(reader);
	sl_buf_release(&c.bytes);
}

static void what_is_no_tar_is_said_to_be_none(void **state)
{
	struct collected c = { 0 };
	struct sl_error err = SL_ERROR_INIT;
	struct sl_member member;
	sl_buf_puts(&c.bytes, "this is a letter, and not an archive at all; ");
	while (c.bytes.len < 4096)
		sl_buf_puts(&c.bytes, "it goes on and on. ");
	const struct sl_source source = { .read = get, .ctx = &c };
	struct sl_tar_reader *reader = sl_tar_reader_new(&source, &err);
	if (reader)
		assert_int_equal(sl_tar_reader_next(reader, &member, &err), -1);
	assert_string_equal(err.message, "not a tar archive");
	sl_tar_reader_free(reader);
	sl_buf_release(&c.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_chain_id_is_the_diff_id),
		cmocka_unit_test(a_chain_id_hashes_parent_and_diff_id),
		cmocka_unit_test(a_digest_has_exactly_64_lower_case_digits),
		cmocka_unit_test(unknown_digests_are_never_equal),
		cmocka_unit_test(a_config_sets_layers_platform_and_digest),
		cmocka_unit_test(a_config_that_contradicts_the_engine_is_refused),
		cmocka_unit_test(a_config_of_another_digest_is_refused),
		cmocka_unit_test(a_manifest_needs_every_layers_blob),
		cmocka_unit_test(too_many_layers_are_refused),
		cmocka_unit_test(a_v1_id_tells_the_layer),
		cmocka_unit_test(html_characters_are_hashed_as_go_writes_them),
		cmocka_unit_test(an_expected_layer_is_known_by_its_blob_name),
		cmocka_unit_test(an_unexpected_large_blob_is_of_unknown_identity),
		cmocka_unit_test(documents_are_bounded),
		cmocka_unit_test(a_document_must_match_its_blob_name),
		cmocka_unit_test(a_docker_archive_resolves_through_links),
		cmocka_unit_test(a_link_loop_ends),
		cmocka_unit_test(a_layer_whose_bytes_are_others_is_refused),
		cmocka_unit_test(an_archive_without_a_manifest_is_refused),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(a_member_cut_short_is_an_error),
		cmocka_unit_test(what_is_no_tar_is_said_to_be_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
