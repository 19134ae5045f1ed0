/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/exporter.h"

int sl_exporter_next(struct sl_exporter *exporter, struct sl_blob *blob, struct sl_error *err)
{
	return exporter->ops->next(exporter, blob, err);
}

ssize_t sl_exporter_data(struct sl_exporter *exporter, const void **data, struct sl_error *err)
{
	return exporter->ops->data(exporter, data, err);
}

int sl_exporter_finish(struct sl_exporter *exporter, struct sl_error *err)
{
	return exporter->ops->finish(exporter, err);
}

void sl_exporter_free(struct sl_exporter *exporter)
{
	if (exporter)
		exporter->ops->free(exporter);
}
