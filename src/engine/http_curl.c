/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/http_curl.h"

#include <string.h>

#include "base/cleanup.h"

int sl_http_init(struct sl_error *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return sl_error_set(err, SL_FAILED, "libcurl cannot be initialised");
	return 0;
}

void sl_curl_set_common(CURL *easy, const struct sl_endpoint *endpoint)
{
	if (endpoint->ca)
		curl_easy_setopt(easy, CURLOPT_CAINFO, endpoint->ca);
	if (endpoint->cert)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, endpoint->cert);
	if (endpoint->key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, endpoint->key);
	if (endpoint->base && !strncmp(endpoint->base, "https", 5) && !endpoint->verify) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (!endpoint->proxied)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(endpoint->patience < SL_HTTP_CONNECT ? endpoint->patience : SL_HTTP_CONNECT));
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

/* A handle with what every request to @endpoint has in common.  @dial carries its
 * connection where that goes through a command; it is released after the handle. */
CURL *sl_curl_new(const struct sl_endpoint *endpoint, const char *path, struct sl_dial *dial)
{
	CURL *easy = curl_easy_init();
	sl_autofree char *url = NULL;
	dial->listener = -1;
	if (!easy || (endpoint->command.n && sl_dial_listen(dial, &endpoint->command, NULL) < 0) || asprintf(&url, "%s%s", endpoint->base, path) < 0) {
		url = NULL;
		curl_easy_cleanup(easy);
		return NULL;
	}
	curl_easy_setopt(easy, CURLOPT_URL, url);
	if (endpoint->command.n)
		curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, dial->name);
	if (endpoint->socket_path)
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket_path);
	sl_curl_set_common(easy, endpoint);
	return easy;
}

const char *sl_curl_peer(const struct sl_endpoint *endpoint)
{
	return endpoint->peer ? endpoint->peer : "engine";
}

static int tls_failed(const struct sl_endpoint *endpoint, const char *why, struct sl_error *err)
{
	if (endpoint->peer)
		return sl_error_set(err, SL_FAILED, "TLS with the %s at %s fails (%s); the CA that signed its certificate must be known here: %s",
				    endpoint->peer, endpoint->url, why, endpoint->ca ? endpoint->ca : "this system's");
	return sl_error_set(err, SL_FAILED, "TLS with the engine at %s fails (%s); ca.pem: %s, cert.pem: %s", endpoint->url, why,
			    endpoint->ca ? endpoint->ca : "none", endpoint->cert ? endpoint->cert : "none");
}

int sl_curl_failed(const struct sl_endpoint *endpoint, CURLcode code, const char *detail, struct sl_dial *dial,
		       struct sl_error *err)
{
	char line[256] = "";
	if (endpoint->command.n && code != CURLE_OPERATION_TIMEDOUT)
		sl_dial_complaint(dial, line, sizeof(line));
	if (strstr(line, "Host key verification failed"))
		return sl_error_set(err, SL_FAILED, "no engine answers at %s (%s): the host's key is new or another one than in known_hosts; "
				    "if that is right, ssh there once, or forget the old key: ssh-keygen -R HOST", endpoint->url, line);
	if (*line)
		return sl_error_set(err, SL_FAILED, "no engine answers at %s (%s)", endpoint->url, line);
	const char *why = detail && *detail ? detail : curl_easy_strerror(code);
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		return sl_error_set(err, SL_FAILED, "no %s answers at %s (%s); is it running?", sl_curl_peer(endpoint), endpoint->url, why);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return sl_error_set(err, SL_TIMEOUT, "the %s at %s does not answer", sl_curl_peer(endpoint), endpoint->url);
	/* an engine that wants a client's certificate hangs up on one that has none */
	bool tls = endpoint->base && !strncmp(endpoint->base, "https", 5) && !endpoint->peer;
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
	    code == CURLE_SSL_CONNECT_ERROR || (tls && !endpoint->cert))
		return tls_failed(endpoint, why, err);
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_RECV_ERROR ||
	    code == CURLE_GOT_NOTHING)
		return sl_error_set(err, SL_FAILED, "what listens at %s does not speak HTTP as %s %s does (%s)",
				    endpoint->url, endpoint->peer ? "a" : "an", sl_curl_peer(endpoint), why);
	return sl_error_set(err, SL_FAILED, "%s: %s", endpoint->url, why);
}

void sl_curl_set_method(CURL *easy, const char *method, const char *body, size_t body_len)
{
	if (!strcmp(method, "HEAD"))
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (!strcmp(method, "POST") || body) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body_len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body ? body : "");
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "HEAD") != 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}
