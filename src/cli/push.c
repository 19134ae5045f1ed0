/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/push.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/progress.h"
#include "cli/report.h"

/* Of what manifests name, what has a digest is left to the cluster: a push cannot give an
 * image the digest that somebody has written down. */
static int take_images(struct sl_cli *cli, struct sl_load *load, const struct sl_strv *references, bool known_only, struct sl_error *err)
{
	sl_autostrv struct sl_strv named = SL_STRV_INIT;
	load->cancel = &cli->cancel;
	if (load->archive && sl_load_archive(load, err) < 0)
		return -1;
	if (load->archive && !load->images)
		return sl_error_set(err, SL_USAGE, "%s is a pipe, which says only at its end what its images are called, and a registry must be told "
				    "first; give a file: -i FILE", !strcmp(load->archive, "-") ? "standard input" : load->archive);
	if (load->archive)
		return 0;
	if (sl_cli_engine(cli, err) < 0)
		return -1;
	load->engine = &cli->engine;
	if (!known_only)
		return sl_load_images(load, references, err);
	for (size_t i = 0; i < references->n; i++) {
		if (strchr(references->items[i], '@'))
			sl_warn("'%s' is named by a digest; it is left to the cluster", references->items[i]);
		else if (sl_strv_add(&named, references->items[i]) < 0)
			return sl_error_nomem(err);
	}
	return sl_load_named_images(load, &named, err);
}

int sl_cli_via(struct sl_cli *cli, const char *way, struct sl_via *via, struct sl_error *err)
{
	sl_autofree char *context = NULL;
	struct sl_kubectl kubectl = { 0 };
	if (sl_via_asks_cluster(way) && sl_cli_kubectl_reading(cli, &context, &kubectl, err) < 0)
		return -1;
	return sl_via_open(way, &kubectl, &cli->cancel, via, err);
}

int sl_cli_push_all(const struct sl_cli *cli, struct sl_via_push *push, bool dry_run, struct sl_error *err)
{
	if (sl_via_plan(push, dry_run, err) < 0)
		return -1;
	if (dry_run)
		return 0;
	struct sl_progress *progress = sl_progress_start(push->load, cli->quiet ? "none" : cli->progress);
	int rc = sl_via_run(push, err);
	sl_progress_stop(progress);
	return rc;
}

int sl_cli_push(struct sl_cli *cli, const char *way, struct sl_load *load, const struct sl_strv *references, bool known_only, bool dry_run,
		struct sl_error *err)
{
	struct sl_via via = { 0 };
	struct sl_via_push push = { .via = &via, .load = load };
	int rc = take_images(cli, load, references, known_only, err) < 0 || sl_cli_via(cli, way, &via, err) < 0 ? -1 : 0;
	if (rc == 0)
		rc = sl_cli_push_all(cli, &push, dry_run, err);
	struct sl_error why = SL_ERROR_INIT;
	if (!sl_cancelled(&cli->cancel) || cli->json) {
		if ((sl_report_push(cli, &push, dry_run, rc < 0 ? err : NULL, &why) < 0 || sl_cli_flush(&why) < 0) && rc == 0) {
			*err = why;
			rc = -1;
		}
	}
	sl_via_push_release(&push);
	sl_via_release(&via);
	return rc;
}
