#include "plan/vs_plan_internal.h"
