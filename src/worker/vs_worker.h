/*-------------------------------------------------------------------------
 *
 * vs_worker.h
 *	  The launcher, the workers of each database, and the doorbell that wakes
 *	  them at commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_WORKER_H
#define VS_WORKER_H

#include "postgres.h"

extern Size vs_worker_shmem_size(void);
extern void vs_worker_shmem_init(void);
extern void vs_worker_init(void);	/* registers the launcher; commit callback */
extern void vs_doorbell_ring(void); /* wake the workers of this database now */
extern void vs_doorbell_batch_ended(void);	/* a batch of this process has */
extern void vs_launcher_wake(void); /* at commit of CREATE EXTENSION, ... */
extern bool vs_worker_running(Oid dbid);	/* some worker serves this
											 * database */

#endif							/* VS_WORKER_H */
