/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_CLUSTER_MINIKUBE_H
#define SL_CLUSTER_MINIKUBE_H

/* Where minikube keeps its files (minikube, pkg/minikube/localpath). */

/* $MINIKUBE_HOME with .minikube behind it unless that is its name; ~/.minikube.
 * The caller frees; NULL when memory is out. */
char *sl_minikube_home(void);

/* The socket of the ssh-agent that minikube started for @profile (NULL: none is
 * meant); NULL when it started none.  The caller frees. */
char *sl_minikube_agent(const char *profile);

#endif
