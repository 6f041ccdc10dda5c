/* Warming a new generation with questions that were asked lately. */
#ifndef LUNA_WARM_H
#define LUNA_WARM_H
#include "generation.h"

typedef struct luna_questions luna_questions;

/* Some of the questions that the workers were asked lately. Main thread; allocates. NULL when
 * memory is short. */
luna_questions *luna_questions_recent(void);
/* Runs them through every seat of a generation that does not serve yet, and frees them. Main
 * thread, which is a registered RCU reader; some milliseconds. */
void luna_generation_warm(luna_generation *g, luna_questions *all);

#endif
