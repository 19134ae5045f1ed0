/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cluster/cluster.h"

/* Append @word as a shell takes it: 'it'\''s' */
static void quote(struct sl_buf *line, const char *word)
{
	sl_buf_puts(line, line->len ? " '" : "'");
	for (; *word; word++) {
		if (*word == '\'')
			sl_buf_puts(line, "'\\''");
		else
			sl_buf_add(line, word, 1);
	}
	sl_buf_puts(line, "'");
}

/*
 * ssh, as minikube itself uses it for its machines: their host keys are made anew
 * with every machine and are not remembered.  AES is what processors are fast at.
 * Nobody is asked anything, and a peer that vanished is noticed.
 */
static struct sl_remote *by_ssh(const struct sl_cluster *cluster, const struct sl_node *node, const char *const *argv,
				struct sl_error *err)
{
	const struct sl_machine *machine = node->machine;
	sl_autobuf struct sl_buf line = SL_BUF_INIT, command = SL_BUF_INIT;
	char port[16];
	snprintf(port, sizeof(port), "%d", machine->port);
	for (size_t i = 0; argv[i]; i++)
		quote(&line, argv[i]);
	sl_buf_printf(&command, "if [ \"$(id -u)\" = 0 ]; then exec %s; else exec sudo -n %s; fi", sl_buf_text(&line), sl_buf_text(&line));
	if (line.failed || command.failed) {
		sl_error_nomem(err);
		return NULL;
	}
	const char *const words[] = {
		"ssh", "-F", "/dev/null", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=no", "-o",
		"UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "ServerAliveInterval=15",
		"-o", "Ciphers=^aes128-gcm@openssh.com", "-o", "Compression=no", "-i", machine->key, "-p", port, "-l", machine->user, "--",
		machine->host, sl_buf_text(&command), NULL,
	};
	sl_debug("ssh to %s@%s:%s", machine->user, machine->host, port);
	return sl_child_remote(words, cluster->cancel, err);
}

static struct sl_remote *here(const struct sl_cluster *cluster, const char *const *argv, struct sl_error *err)
{
	const char *words[16] = { "sudo", "-n" };
	size_t n = geteuid() == 0 ? 0 : 2;
	for (; *argv && n + 1 < sizeof(words) / sizeof(words[0]); n++)
		words[n] = *argv++;
	words[n] = NULL;
	return sl_child_remote(words, cluster->cancel, err);
}

struct sl_remote *sl_cluster_exec(const struct sl_cluster *cluster, const struct sl_node *node, const char *const *argv,
				  struct sl_error *err)
{
	if (node->container)
		return sl_engine_exec(cluster->engine, node->container, argv, err);
	return node->machine ? by_ssh(cluster, node, argv, err) : here(cluster, argv, err);
}
