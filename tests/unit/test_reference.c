/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA "sha256:" HEX64

static void assert_canonical(const char *text, const char *expected)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	if (sl_reference_parse(text, &ref, &err) < 0)
		fail_msg("'%s': %s", text, err.message);
	sl_autofree char *canonical = sl_reference_canonical(&ref);
	assert_string_equal(canonical, expected);
}

static void assert_familiar(const char *text, const char *expected)
{
	struct sl_error err = SL_ERROR_INIT;
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	sl_autoref struct sl_reference again = SL_REFERENCE_INIT;
	assert_int_equal(sl_reference_parse(text, &ref, &err), 0);
	sl_autofree char *familiar = sl_reference_familiar(&ref);
	assert_string_equal(familiar, expected);
	assert_int_equal(sl_reference_parse(familiar, &again, &err), 0);
	assert_true(sl_reference_equal(&ref, &again));
}

/* @text is a usage error whose message holds @why. */
static void assert_refused(const char *text, const char *why)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_reference ref;
	if (sl_reference_parse(text, &ref, &err) == 0)
		fail_msg("'%s' was taken for '%s'", text, ref.name);
	assert_int_equal(err.status, SL_USAGE);
	assert_null(ref.name);
	assert_null(ref.tag);
	assert_null(ref.digest);
	if (!strstr(err.message, why))
		fail_msg("'%s': '%s' does not say '%s'", text, err.message, why);
}

static void all_spellings_of_a_hub_image_are_one_name(void **state)
{
	assert_canonical("nginx", "docker.io/library/nginx:latest");
	assert_canonical("nginx:latest", "docker.io/library/nginx:latest");
	assert_canonical("library/nginx", "docker.io/library/nginx:latest");
	assert_canonical("docker.io/nginx", "docker.io/library/nginx:latest");
	assert_canonical("docker.io/library/nginx", "docker.io/library/nginx:latest");
	assert_canonical("index.docker.io/nginx", "docker.io/library/nginx:latest");
	assert_canonical("index.docker.io/library/nginx:latest", "docker.io/library/nginx:latest");
}

static void port_is_not_a_tag(void **state)
{
	assert_canonical("localhost:5000/app", "localhost:5000/app:latest");
	assert_canonical("registry:5000/app:v1", "registry:5000/app:v1");
	assert_canonical("app:5000", "docker.io/library/app:5000");
	assert_canonical("[fe80::1]:5000/app", "[fe80::1]:5000/app:latest");
	assert_canonical("[::1]/app", "[::1]/app:latest");
}

static void first_component_is_a_domain_only_if_it_looks_like_one(void **state)
{
	assert_canonical("team/app", "docker.io/team/app:latest");
	assert_canonical("localhost/app", "localhost/app:latest");
	assert_canonical("ghcr.io/team/app:v1", "ghcr.io/team/app:v1");
	assert_canonical("Registry/app", "Registry/app:latest");
	assert_canonical("a/b/c/d", "docker.io/a/b/c/d:latest");
	assert_canonical("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest");
}

static void digest_makes_another_name_and_hides_the_tag(void **state)
{
	assert_canonical("nginx@" SHA, "docker.io/library/nginx@" SHA);
	assert_canonical("nginx:1.25@" SHA, "docker.io/library/nginx@" SHA);
	struct sl_error err = SL_ERROR_INIT;
	sl_autoref struct sl_reference both = SL_REFERENCE_INIT;
	sl_autoref struct sl_reference digest = SL_REFERENCE_INIT;
	sl_autoref struct sl_reference tag = SL_REFERENCE_INIT;
	assert_int_equal(sl_reference_parse("nginx:1.25@" SHA, &both, &err), 0);
	assert_int_equal(sl_reference_parse("nginx@" SHA, &digest, &err), 0);
	assert_int_equal(sl_reference_parse("nginx:1.25", &tag, &err), 0);
	assert_string_equal(both.tag, "1.25");
	assert_string_equal(both.digest, SHA);
	assert_null(digest.tag);
	assert_true(sl_reference_equal(&both, &digest));
	assert_false(sl_reference_equal(&both, &tag));
	assert_false(sl_reference_equal(&tag, &digest));
}

static void familiar_spelling_is_the_shortest_that_means_the_same(void **state)
{
	assert_familiar("docker.io/library/nginx", "nginx:latest");
	assert_familiar("docker.io/team/app:v1", "team/app:v1");
	assert_familiar("localhost/app", "localhost/app:latest");
	assert_familiar("docker.io/localhost/app", "docker.io/localhost/app:latest");
	assert_familiar("docker.io/library/a/b", "library/a/b:latest");
	assert_familiar("index.docker.io/nginx@" SHA, "nginx@" SHA);
}

static void separators_are_as_in_distribution(void **state)
{
	assert_canonical("a_b", "docker.io/library/a_b:latest");
	assert_canonical("a__b", "docker.io/library/a__b:latest");
	assert_canonical("a---b.c", "docker.io/library/a---b.c:latest");
	assert_refused("a___b", "not a repository name");
	assert_refused("a..b", "not a repository name");
	assert_refused("a._b", "not a repository name");
	assert_refused("-a", "not a repository name");
	assert_refused("a-", "not a repository name");
	assert_refused("a/", "not a repository name");
	assert_refused("a//b", "not a repository name");
	assert_refused("/a", "not a repository name");
}

static void repository_is_lower_case(void **state)
{
	assert_refused("Nginx", "lower case");
	assert_refused("ghcr.io/Team/app", "lower case");
	assert_canonical("app:V1", "docker.io/library/app:V1");
}

static void tag_has_its_own_grammar(void **state)
{
	assert_canonical("app:_v-1.0", "docker.io/library/app:_v-1.0");
	assert_refused("app:", "not a tag");
	assert_refused("app:.v1", "not a tag");
	assert_refused("app:-v1", "not a tag");
	assert_refused("app:v1:v2", "not a tag");
	assert_refused("app:v+1", "not a tag");
	char text[160] = "app:";
	memset(text + 4, 'x', 128);
	text[132] = '\0';
	struct sl_error err = SL_ERROR_INIT;
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	assert_int_equal(sl_reference_parse(text, &ref, &err), 0);
	text[132] = 'x';
	text[133] = '\0';
	assert_refused(text, "not a tag");
}

static void digest_is_checked(void **state)
{
	assert_refused("app@", "not a digest");
	assert_refused("app@sha256:abc", "not a digest");
	assert_refused("app@" SHA "0", "not a digest");
	assert_refused("app@sha256:" "Z123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "not a digest");
	assert_refused("app@md5:0123456789abcdef0123456789abcdef", "not a digest");
	assert_canonical("app@sha512:" HEX64 HEX64, "docker.io/library/app@sha512:" HEX64 HEX64);
}

static void image_id_is_not_a_name(void **state)
{
	assert_refused(HEX64, "image ID");
	assert_canonical(HEX64 ":v1", "docker.io/library/" HEX64 ":v1");
	assert_canonical(SHA, "docker.io/library/" SHA); /* as docker has it: a repository named sha256 */
}

static void domain_is_checked(void **state)
{
	assert_refused("a.-b/app", "registry host");
	assert_refused("a..b/app", "registry host");
	assert_refused("host:/app", "registry host");
	assert_refused("host:5x/app", "registry host");
	assert_refused("./app", "registry host");
	assert_refused("h_t.io/app", "registry host");
}

static void length_of_the_path_is_limited(void **state)
{
	char text[300];
	memset(text, 'a', sizeof(text));
	text[247] = '\0'; /* 8 of library/ make 255 */
	struct sl_error err = SL_ERROR_INIT;
	sl_autoref struct sl_reference ref = SL_REFERENCE_INIT;
	assert_int_equal(sl_reference_parse(text, &ref, &err), 0);
	text[247] = 'a';
	text[248] = '\0';
	assert_refused(text, "longer than 255");
}

static void what_is_no_name_is_refused(void **state)
{
	assert_refused("", "empty");
	assert_refused(" nginx", "not a repository name");
	assert_refused("nginx ", "not a repository name");
	assert_refused("{{ .Values.image }}", "lower case");
	assert_refused("https://ghcr.io/app", "scheme://");
	assert_refused("ngin\xc3\xa9", "not a repository name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_spellings_of_a_hub_image_are_one_name),
		cmocka_unit_test(port_is_not_a_tag),
		cmocka_unit_test(first_component_is_a_domain_only_if_it_looks_like_one),
		cmocka_unit_test(digest_makes_another_name_and_hides_the_tag),
		cmocka_unit_test(familiar_spelling_is_the_shortest_that_means_the_same),
		cmocka_unit_test(separators_are_as_in_distribution),
		cmocka_unit_test(repository_is_lower_case),
		cmocka_unit_test(tag_has_its_own_grammar),
		cmocka_unit_test(digest_is_checked),
		cmocka_unit_test(image_id_is_not_a_name),
		cmocka_unit_test(domain_is_checked),
		cmocka_unit_test(length_of_the_path_is_limited),
		cmocka_unit_test(what_is_no_name_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
