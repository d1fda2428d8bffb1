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

/* For delta plans, set what the planner goes by to fixed values: in this GUC nest level, or for good. */
extern void vs_guc_fix_planner(bool for_good);

#endif							/* VS_GUC_H */
