/* The timer wheel: nothing early, nothing lost, nothing late by more than a tick. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "../../src/server/wheel.h"

#define START 123456789012345ull
#define ROUND (WHEEL_SLOTS * WHEEL_TICK)

typedef struct timer {
    luna_timer t;
    unsigned fired;
    uint64_t fired_at;
} timer;

static luna_wheel wheel;
static uint64_t now;
static timer others[8];

static int begin(void **state)
{
    (void)state;
    now = START;
    luna_wheel_init(&wheel, now);
    return 0;
}

static void run_to(uint64_t at)
{
    now = at;
    luna_wheel_run(&wheel, now);
}

static void note(luna_timer *t)
{
    timer *self = (timer *)t;
    assert_null(t->next); /* cleared before it runs */
    assert_true(t->at <= now);
    self->fired++;
    self->fired_at = now;
}

static void fires_in_time(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {
        0,          1,         WHEEL_TICK - 1, WHEEL_TICK, WHEEL_TICK + 1,
        2000000000, ROUND - 1, ROUND,          ROUND + 1,  3 * ROUND + 5 * WHEEL_TICK};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        begin(NULL);
        timer t = {0};
        luna_timer_set(&wheel, &t.t, START + lengths[i], note);
        assert_int_equal(wheel.count, 1);
        while (!t.fired && now < START + lengths[i] + 3 * WHEEL_TICK)
            run_to(now + WHEEL_TICK / 4);
        assert_int_equal(t.fired, 1);
        assert_true(t.fired_at >= START + lengths[i]);
        assert_true(t.fired_at <= START + lengths[i] + WHEEL_TICK + WHEEL_TICK / 4);
        assert_int_equal(wheel.count, 0);
    }
}

static void fires_all_after_a_pause(void **state)
{
    (void)state;
    static timer t[1000];
    for (unsigned i = 0; i < 1000; i++) {
        t[i] = (timer){0};
        luna_timer_set(&wheel, &t[i].t, START + i * 7 * WHEEL_TICK, note);
    }
    run_to(START + 1000 * 7 * WHEEL_TICK);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(t[i].fired, 1);
}

static void can_be_moved_and_cleared(void **state)
{
    (void)state;
    timer a = {0}, b = {0};
    luna_timer_set(&wheel, &a.t, START + WHEEL_TICK, note);
    luna_timer_set(&wheel, &a.t, START + 100 * WHEEL_TICK, note);
    luna_timer_set(&wheel, &b.t, START + WHEEL_TICK, note);
    assert_int_equal(wheel.count, 2);
    luna_timer_clear(&wheel, &b.t);
    luna_timer_clear(&wheel, &b.t);
    assert_int_equal(wheel.count, 1);
    run_to(START + 50 * WHEEL_TICK);
    assert_int_equal(a.fired + b.fired, 0);
    run_to(START + 102 * WHEEL_TICK);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
}

static void meddle(luna_timer *t)
{
    note(t);
    /* others[1] is due in the same slot; others[2] is set anew, for at once and for later. */
    luna_timer_clear(&wheel, &others[1].t);
    if (((timer *)t)->fired < 3)
        luna_timer_set(&wheel, t, now, meddle);
    luna_timer_set(&wheel, &others[2].t, now + ROUND, note);
}

static void bears_changes_from_within(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        others[i] = (timer){0};
        luna_timer_set(&wheel, &others[i].t, START + WHEEL_TICK, i ? note : meddle);
    }
    for (int i = 0; i < 10; i++)
        run_to(now + WHEEL_TICK);
    assert_int_equal(others[0].fired, 3);
    assert_int_equal(others[1].fired, 0);
    assert_int_equal(others[2].fired, 0);
    assert_int_equal(others[3].fired, 1);
    assert_int_equal(wheel.count, 1);
    run_to(now + ROUND + WHEEL_TICK);
    assert_int_equal(others[2].fired, 1);
}

static void agrees_with_a_list(void **state)
{
    (void)state;
    enum { N = 500, STEPS = 20000 };
    static timer t[N];
    uint64_t due[N] = {0}; /* 0 = not set */
    unsigned seed = 42;
    for (int i = 0; i < N; i++)
        t[i] = (timer){0};
    for (int step = 0; step < STEPS; step++) {
        unsigned r = (unsigned)rand_r(&seed), i = r % N;
        if (r & 0x1000) {
            due[i] = now + (unsigned)rand_r(&seed) % (2 * ROUND);
            luna_timer_set(&wheel, &t[i].t, due[i], note);
        } else if (r & 0x2000) {
            due[i] = 0;
            luna_timer_clear(&wheel, &t[i].t);
        } else {
            run_to(now + (unsigned)rand_r(&seed) % (20 * WHEEL_TICK));
        }
        unsigned set = 0;
        for (int k = 0; k < N; k++) {
            if (t[k].fired) {
                assert_true(due[k] && due[k] <= now);
                t[k].fired = 0;
                due[k] = 0;
            }
            assert_true(!due[k] || due[k] + 2 * WHEEL_TICK > now);
            set += due[k] != 0;
        }
        assert_int_equal(wheel.count, set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fires_in_time, begin),
        cmocka_unit_test_setup(fires_all_after_a_pause, begin),
        cmocka_unit_test_setup(can_be_moved_and_cleared, begin),
        cmocka_unit_test_setup(bears_changes_from_within, begin),
        cmocka_unit_test_setup(agrees_with_a_list, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
