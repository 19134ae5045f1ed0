/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/export_tar.h"

/* The save exporter: GET /images/get, read as it arrives. */

struct save {
	struct sl_export_tar tar; /* first */
	struct sl_http_response *response;
};

static ssize_t read_response(void *ctx, const void **data, struct sl_error *err)
{
	struct save *save = ctx;
	return sl_http_read(save->response, data, SL_HTTP_SILENCE, err);
}

static void save_free(struct sl_exporter *exporter)
{
	struct save *save = (struct save *)exporter;
	sl_export_tar_release(&save->tar);
	sl_http_close(save->response);
	free(save);
}

static const struct sl_exporter_ops save_ops = {
	.name = "save",
	.next = sl_export_tar_next,
	.data = sl_export_tar_data,
	.finish = sl_export_tar_finish,
	.free = save_free,
};

struct sl_exporter *sl_exporter_save(const struct sl_engine *engine, struct sl_image *images, size_t n,
				     struct sl_error *err)
{
	struct save *save = calloc(1, sizeof(*save));
	if (!save) {
		sl_error_nomem(err);
		return NULL;
	}
	save->tar.exporter.ops = &save_ops;
	const struct sl_source source = { .read = read_response, .ctx = save };
	if (sl_export_tar_init(&save->tar, images, n, err) < 0 ||
	    !(save->response = sl_engine_save(engine, images, n, err)) ||
	    sl_export_tar_start(&save->tar, &source, err) < 0) {
		save_free(&save->tar.exporter);
		sl_error_wrap(err, "export from %s", engine->endpoint.url);
		return NULL;
	}
	return &save->tar.exporter;
}
