/* SPDX-License-Identifier: Apache-2.0 */
/* The loopback registry, spoken to as an engine does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "engine/registry.h"
#include "image/image.h"

static struct sl_registry_identity identity = { 23456, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" };

struct fixture {
	struct sl_registry *registry;
	char authorization[200];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct sl_error err = SL_ERROR_INIT;
	char pair[100];
	snprintf(pair, sizeof(pair), SL_REGISTRY_USER ":%s", identity.secret);
	sl_autofree char *encoded = sl_base64(pair, false);
	snprintf(fixture->authorization, sizeof(fixture->authorization), "Authorization: Basic %s\r\n", encoded);
	fixture->registry = sl_registry_start(&identity, &err);
	*state = fixture;
	return fixture->registry ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	sl_registry_stop(fixture->registry);
	free(fixture);
	return 0;
}

static int dial(const struct fixture *fixture)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	address.sin_port = htons((uint16_t)atoi(strchr(sl_registry_host(fixture->registry), ':') + 1));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Send @request and give the answer, which the caller frees. */
static char *talk(const struct fixture *fixture, const void *request, size_t len)
{
	char *answer = calloc(1, 65536);
	size_t got = 0;
	ssize_t n;
	sl_autoclose int fd = dial(fixture);
	assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), (ssize_t)len);
	while ((n = recv(fd, answer + got, 65535 - got, 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0); /* closed, not reset */
	return answer;
}

/* METHOD PATH with the credential and @body: the status; @location gets that header. */
static int request(const struct fixture *fixture, const char *what, const char *body, char *location)
{
	sl_autofree char *text = NULL;
	assert_true(asprintf(&text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", what,
			     fixture->authorization, strlen(body), body) > 0);
	sl_autofree char *answer = talk(fixture, text, strlen(text));
	const char *at = strstr(answer, "Location: ");
	if (location)
		snprintf(location, 300, "%.*s", at ? (int)strcspn(at + 10, "\r") : 0, at ? at + 10 : "");
	return atoi(answer + strlen("HTTP/1.1 "));
}

static void test_a_client_hello_gets_a_plain_400(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03no newline in it";
	sl_autofree char *answer = talk(*state, hello, sizeof(hello) - 1);
	assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
	assert_false(sl_registry_was_reached(((struct fixture *)*state)->registry));
}

static void test_only_the_credential_opens(void **state)
{
	struct fixture *fixture = *state;
	static const char *const wrong[] = { "", "Authorization: Basic c2lkZWxpZnQ6d3Jvbmc=\r\n", "Authorization: Bearer x\r\n" };
	for (size_t i = 0; i < 3; i++) {
		sl_autofree char *text = NULL;
		assert_true(asprintf(&text, "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", wrong[i]) > 0);
		sl_autofree char *answer = talk(fixture, text, strlen(text));
		assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
		assert_non_null(strstr(answer, "WWW-Authenticate: Basic realm="));
		assert_false(sl_registry_was_reached(fixture->registry));
	}
	assert_int_equal(request(fixture, "GET /v2/", "", NULL), 200);
	assert_true(sl_registry_was_reached(fixture->registry));
}

static void digest_of(const char *text, struct sl_digest *digest)
{
	sl_digest_of(text, strlen(text), digest);
}

static void test_first_round_pretends_to_have_all_but_the_config(void **state)
{
	struct fixture *fixture = *state;
	struct sl_registry_round round = { .all = true };
	struct sl_digest other;
	char what[400], location[300];
	digest_of("{\"config\":1}", &round.config);
	digest_of("a layer", &other);
	sl_registry_round(fixture->registry, &round);
	snprintf(what, sizeof(what), "HEAD /v2/sidelift/blobs/%s", other.text);
	assert_int_equal(request(fixture, what, "", NULL), 200);
	snprintf(what, sizeof(what), "HEAD /v2/sidelift/blobs/%s", round.config.text);
	assert_int_equal(request(fixture, what, "", NULL), 404);

	assert_int_equal(request(fixture, "POST /v2/sidelift/blobs/uploads/", "", location), 202);
	snprintf(what, sizeof(what), "PUT %s?digest=%s", location, round.config.text);
	assert_int_equal(request(fixture, what, "{\"config\":1}", NULL), 201);
	const struct sl_buf *config = sl_registry_document(fixture->registry, round.config.text);
	assert_non_null(config);
	assert_string_equal(sl_buf_text(config), "{\"config\":1}");

	assert_int_equal(request(fixture, "PUT /v2/sidelift/manifests/tag", "{\"layers\":[]}", NULL), 201);
	assert_non_null(sl_registry_document(fixture->registry, "tag"));
	assert_null(sl_registry_document(fixture->registry, "other"));
	assert_int_equal(request(fixture, "HEAD /v2/sidelift/manifests/tag", "", NULL), 404);
	assert_int_equal(request(fixture, "GET /v2/sidelift/nothing", "", NULL), 404);
	assert_int_equal(request(fixture, "PUT /v2/sidelift/blobs/uploads/77?digest=x", "", NULL), 404);
}

static void test_bytes_of_another_digest_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct sl_registry_round round = { .all = true };
	struct sl_digest digest;
	char what[400], location[300];
	digest_of("{\"a\":1}", &digest);
	sl_registry_round(fixture->registry, &round);
	assert_int_equal(request(fixture, "POST /v2/sidelift/blobs/uploads/", "", location), 202);
	snprintf(what, sizeof(what), "PUT %s?digest=%s", location, digest.text);
	assert_int_equal(request(fixture, what, "{\"a\":2}", NULL), 400);
	assert_null(sl_registry_document(fixture->registry, digest.text));
}

/* Pushes layers 1 and 0 of the round, in this order and both at once: the first in
 * one go, the second in pieces and under another digest. */
struct engine {
	const struct fixture *fixture;
	const struct sl_digest *layers;
	int layer, status;
	const char *text;
	pthread_t thread;
};

static void *push(void *ctx)
{
	struct engine *engine = ctx;
	char what[400], location[300];
	struct sl_digest digest;
	digest_of(engine->text, &digest);
	snprintf(what, sizeof(what), "HEAD /v2/sidelift/blobs/%s", engine->layers[engine->layer].text);
	assert_int_equal(request(engine->fixture, what, "", NULL), 404);
	assert_int_equal(request(engine->fixture, "POST /v2/sidelift/blobs/uploads/", "", location), 202);
	bool pieces = engine->layer == 0;
	if (pieces) {
		snprintf(what, sizeof(what), "PATCH %s", location);
		assert_int_equal(request(engine->fixture, what, engine->text, location), 202);
	}
	snprintf(what, sizeof(what), "PUT %s?digest=%s", location, digest.text);
	engine->status = request(engine->fixture, what, pieces ? "" : engine->text, NULL);
	return NULL;
}

static void test_wanted_layers_come_one_by_one_from_below(void **state)
{
	struct fixture *fixture = *state;
	struct sl_digest layers[3];
	static const bool wanted[3] = { true, true, false };
	const struct sl_registry_round round = { .layers = layers, .wanted = wanted, .n = 3 };
	struct sl_registry_blob blob;
	struct sl_error err = SL_ERROR_INIT;
	char what[400];
	const void *data;
	digest_of("zero, as it was", &layers[0]);
	digest_of("one", &layers[1]);
	digest_of("two", &layers[2]);
	sl_registry_round(fixture->registry, &round);
	snprintf(what, sizeof(what), "HEAD /v2/sidelift/blobs/%s", layers[2].text);
	assert_int_equal(request(fixture, what, "", NULL), 200);
	struct engine engines[2] = { { fixture, layers, 1, 0, "one", 0 }, { fixture, layers, 0, 0, "\x1f\x8b zero anew", 0 } };
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&engines[i].thread, NULL, push, &engines[i]), 0);

	assert_int_equal(sl_registry_next(fixture->registry, &blob, 5000, NULL, &err), 1);
	assert_int_equal(blob.layer, 0);
	assert_int_equal(blob.size, 12);
	assert_string_equal(blob.media_type, SL_MEDIA_LAYER_GZIP);
	assert_false(sl_digest_equal(&blob.digest, &layers[0]));
	assert_int_equal(sl_registry_data(fixture->registry, &data, 5000, NULL, &err), 12);
	assert_memory_equal(data, "\x1f\x8b zero anew", 12);
	assert_int_equal(sl_registry_data(fixture->registry, &data, 5000, NULL, &err), 0);

	assert_int_equal(sl_registry_next(fixture->registry, &blob, 5000, NULL, &err), 1);
	assert_int_equal(blob.layer, 1);
	assert_string_equal(blob.digest.text, layers[1].text);
	assert_int_equal(sl_registry_data(fixture->registry, &data, 5000, NULL, &err), 3);
	assert_int_equal(sl_registry_data(fixture->registry, &data, 5000, NULL, &err), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(engines[i].thread, NULL);
		assert_int_equal(engines[i].status, 201);
	}
	sl_registry_over(fixture->registry);
	assert_int_equal(sl_registry_next(fixture->registry, &blob, 5000, NULL, &err), 0);
}

static void test_silence_ends(void **state)
{
	struct fixture *fixture = *state;
	struct sl_registry_round round = { .all = true };
	struct sl_registry_blob blob;
	struct sl_error err = SL_ERROR_INIT;
	sl_registry_round(fixture->registry, &round);
	assert_int_equal(sl_registry_next(fixture->registry, &blob, 200, NULL, &err), -1);
	assert_int_equal(err.status, SL_TIMEOUT);
}

static void test_a_second_one_has_another_port(void **state)
{
	struct fixture *fixture = *state;
	struct sl_error err = SL_ERROR_INIT;
	struct sl_registry *more[SL_REGISTRY_PORTS];
	for (int i = 0; i < SL_REGISTRY_PORTS - 1; i++) {
		more[i] = sl_registry_start(&identity, &err);
		assert_non_null(more[i]);
		assert_string_not_equal(sl_registry_host(more[i]), sl_registry_host(fixture->registry));
	}
	assert_null(sl_registry_start(&identity, &err));
	assert_non_null(strstr(err.message, "can be listened at"));
	for (int i = 0; i < SL_REGISTRY_PORTS - 1; i++)
		sl_registry_stop(more[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_client_hello_gets_a_plain_400, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_the_credential_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_round_pretends_to_have_all_but_the_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_of_another_digest_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wanted_layers_come_one_by_one_from_below, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_second_one_has_another_port, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
