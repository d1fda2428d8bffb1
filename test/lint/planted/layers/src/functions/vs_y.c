#include "plan/vs_plan.h"
