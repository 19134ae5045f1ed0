/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_ENGINE_CONTAINER_H
#define SL_ENGINE_CONTAINER_H

/* A container of our own in an engine. */

#include "engine/engine.h"

/* Those of sidelift have it. */
#define SL_CONTAINER_LABEL "dev.sidelift.helper"

/* Create one by @spec (POST /containers/create); its ID is the caller's to free. */
char *sl_container_create(const struct sl_engine *engine, const json_t *spec, struct sl_error *err) SL_MUST_CHECK;

int sl_container_start(const struct sl_engine *engine, const char *id, struct sl_error *err) SL_MUST_CHECK;

/* Remove it and its volumes, running or not; one that is gone is no error. */
int sl_container_remove(const struct sl_engine *engine, const char *id, struct sl_error *err) SL_MUST_CHECK;

/* Remove those of ours that a killed process created and did not start. */
void sl_container_sweep(const struct sl_engine *engine);

#endif
