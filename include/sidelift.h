/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIDELIFT_H
#define SIDELIFT_H

/*
 * The public contract of the sidelift library: how a call reports failure.
 * What the library can do is declared per module below src/; this file holds
 * what all of them share and what a caller of any of them must know.
 *
 * The library neither prints nor exits.  A function that can fail returns 0 or
 * -1 (or a pointer or NULL) and fills the `struct sl_error` that is its last
 * argument; the caller holds that struct by value, so an error can be reported
 * even when memory is out.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define SIDELIFT_VERSION "0.1.0"

/* What went wrong, as far as a caller can act on it.  The first six values are
 * also the program's exit codes. */
enum sl_status {
	SL_OK = 0,
	SL_FAILED = 1,      /* it did not work */
	SL_USAGE = 2,       /* the request itself makes no sense */
	SL_PARTIAL = 3,     /* done on some nodes, not on others */
	SL_ANSWER_NO = 4,   /* a check found what it looks for */
	SL_REFUSED = 5,     /* refused for safety: not provably a local cluster */
	SL_NOT_FOUND = 10,  /* the thing asked for does not exist there */
	SL_TIMEOUT = 11,    /* a peer did not answer in time */
	SL_INTERRUPTED = 12,/* the caller's cancel token fired */
	SL_NOSPACE = 13,    /* a disk is full; repeating will not help */
	SL_CLOSED = 14,     /* the peer closed the connection early */
};

#define SL_ERROR_MAX 1024

struct sl_error {
	enum sl_status status;
	int errnum;                /* errno where one was the cause, else 0 */
	char message[SL_ERROR_MAX]; /* lower case, no full stop, what to do about it */
};

#define SL_ERROR_INIT { SL_OK, 0, "" }

/* The exit code that stands for @status: what the table above says, and 1 for
 * every status from SL_NOT_FOUND on. */
int sl_status_exit_code(enum sl_status status);

#ifdef __cplusplus
}
#endif

#endif
