/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "flow/holdings.h"
#include "image/reference.h"

struct prune_options {
	bool force, dry_run;
};

#define AT(field) offsetof(struct prune_options, field)
static const struct sl_option options[] = {
	{ "force", 0, SL_OPTION_FLAG, NULL, AT(force), "also what a container uses" },
	{ "dry-run", 0, SL_OPTION_FLAG, NULL, AT(dry_run), "say what would be removed, and remove nothing" },
};

static bool anywhere(const struct sl_holdings *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; !strcmp(all->items[i].name, name) && k < all->load.n_nodes; k++)
			if (all->items[i].nodes[k].item)
				return true;
	return false;
}

/* The names as the nodes have them; SL_NOT_FOUND names those that none has. */
static int named(const struct sl_holdings *all, int n, char **given, struct sl_strv *names, struct sl_error *err)
{
	sl_autobuf struct sl_buf missing = SL_BUF_INIT;
	for (int i = 0; i < n; i++) {
		struct sl_reference reference;
		bool nameless = !strncmp(given[i], "sha256:", 7);
		if (!nameless && sl_reference_parse(given[i], &reference, err) < 0)
			return -1;
		sl_autofree char *name = nameless ? strdup(given[i]) : sl_reference_canonical(&reference);
		if (!nameless)
			sl_reference_release(&reference);
		if (!name || sl_strv_add_new(names, name) < 0)
			return sl_error_nomem(err);
		if (!anywhere(all, name))
			sl_buf_printf(&missing, "%s'%s'", missing.len ? ", " : "", given[i]);
	}
	if (missing.len)
		return sl_error_set(err, SL_NOT_FOUND, "no node has %s; nothing was removed (sidelift images --all shows what there is)",
				    sl_buf_text(&missing));
	return 0;
}

static int remove_names(struct sl_cli *cli, struct sl_holdings *all, const struct prune_options *given,
			const struct sl_strv *names, struct sl_error *err)
{
	size_t removed = 0;
	if (given->dry_run) {
		for (size_t i = 0; i < names->n; i++)
			printf("would remove %s\n", names->items[i]);
		return sl_cli_flush(err);
	}
	int rc = sl_holdings_remove(all, names, given->force, &removed, err);
	if (cli->json)
		printf("{\"version\": 1, \"kind\": \"PruneResult\", \"removed\": %zu}\n", removed);
	else if (!cli->quiet)
		printf("removed %zu image name%s from %zu node%s\n", removed, removed == 1 ? "" : "s", all->load.n_nodes,
		       all->load.n_nodes == 1 ? "" : "s");
	struct sl_error why = SL_ERROR_INIT;
	if (sl_cli_flush(&why) < 0 && rc == 0) {
		*err = why;
		return -1;
	}
	return rc;
}

static int run(int argc, char **argv, struct sl_cli *cli, struct sl_error *err)
{
	struct prune_options given = { 0 };
	struct sl_holdings all = { 0 };
	sl_autostrv struct sl_strv names = SL_STRV_INIT;
	int first;
	if (sl_cli_parse(cli, &sl_command_prune, argc, argv, &given, &first, err) < 0 || cli->help)
		return 2;
	int rc = sl_cli_cluster(cli, err);
	if (rc == 0)
		rc = sl_holdings_read(&cli->cluster, NULL, &cli->cancel, &all, err);
	if (rc == 0)
		rc = first < argc ? named(&all, argc - first, argv + first, &names, err) : sl_holdings_superseded(&all, &names, err);
	if (rc == 0)
		rc = remove_names(cli, &all, &given, &names, err);
	sl_holdings_release(&all);
	return rc < 0 ? 1 : 0;
}

const struct sl_command sl_command_prune = {
	.name = "prune",
	.usage = "[NAME...]",
	.summary = "remove images from the nodes",
	.help = "Removes the names from every node, and what only they needed.  Without a name: the images that\n"
		"sidelift once loaded and that no name stands for any more.  What a container uses stays.",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.run = run,
};
