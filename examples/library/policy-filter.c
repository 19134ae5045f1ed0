/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy-filter IMAGE...: copy manifests from standard input to standard output, with
 * imagePullPolicy: Never for these images.  As a Helm post-renderer, or
 *
 *	kustomize build | policy-filter app:dev | kubectl apply -f -
 */
#include <sidelift.h>
#include <stdio.h>
#include <stdlib.h>

/* All of @file, *len bytes; the caller frees it. */
static char *read_all(FILE *file, size_t *len)
{
	size_t size = 0, n;
	char *text = NULL;
	*len = 0;
	do {
		size = size ? 2 * size : 65536;
		char *larger = realloc(text, size);
		if (!larger) {
			free(text);
			return NULL;
		}
		text = larger;
		n = fread(text + *len, 1, size - *len, file);
		*len += n;
	} while (*len == size);
	if (ferror(file)) {
		free(text);
		return NULL;
	}
	return text;
}

int main(int argc, char **argv)
{
	struct sl_error err = SL_ERROR_INIT;
	size_t len, out_len;
	char *out;

	if (argc < 2) {
		fprintf(stderr, "usage: policy-filter IMAGE... <MANIFESTS\n");
		return 2;
	}
	char *text = read_all(stdin, &len);
	if (!text) {
		perror("policy-filter: standard input");
		return 1;
	}
	int rc = sidelift_rewrite("standard input", text, len, (const char *const *)argv + 1, (size_t)argc - 1, "Never", &out, &out_len, &err);
	free(text);
	if (rc < 0) {
		fprintf(stderr, "policy-filter: %s\n", err.message);
		return sl_status_exit_code(err.status);
	}
	int written = fwrite(out, 1, out_len, stdout) == out_len && fflush(stdout) == 0;
	free(out);
	if (!written)
		perror("policy-filter: standard output");
	return !written;
}
