/*-------------------------------------------------------------------------
 *
 * vs_guc.h
 *	  The settings themselves are declared in velostream.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef VS_GUC_H
#define VS_GUC_H

#include "postgres.h"

extern void vs_guc_init(bool preloading);

#endif							/* VS_GUC_H */
