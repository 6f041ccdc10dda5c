/* Metrics: slots, pages, totals, and the page that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../../src/observe/observe.h"
#include "../../src/observe/text.h"

static char *scrape(void)
{
    size_t len = 0;
    char *text = luna_metrics_text(&len);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    return text;
}

static void assert_page_has(const char *expected)
{
    char *text = scrape();
    if (strstr(text, expected) == NULL)
        fail_msg("not on the page: %s\nthe page:\n%s", expected, text);
    free(text);
}

static void assert_page_lacks(const char *unexpected)
{
    char *text = scrape();
    if (strstr(text, unexpected) != NULL)
        fail_msg("on the page: %s", unexpected);
    free(text);
}

static void a_declaration_is_found_again_and_must_agree(void **state)
{
    (void)state;
    int a = luna_metric("t_again_total", "Help.", LUNA_COUNTER, "server,zone", NULL, 0, 1);
    assert_true(a >= 0);
    assert_int_equal(luna_metric("t_again_total", "Help.", LUNA_COUNTER, "server,zone", NULL, 0, 1),
                     a);
    assert_int_equal(luna_metric("t_again_total", "Help.", LUNA_GAUGE, "server,zone", NULL, 0, 1),
                     LUNA_E_FORMAT);
    assert_int_equal(luna_metric("t_again_total", "Help.", LUNA_COUNTER, "server", NULL, 0, 1),
                     LUNA_E_FORMAT);
}

static void bad_declarations_are_refused(void **state)
{
    (void)state;
    const double falling[] = {2, 1}, below[] = {-1, 1};
    static const char *const names[] = {"", "1x", "a-b", "a b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(luna_metric(names[i], "", LUNA_COUNTER, "", NULL, 0, 1), LUNA_E_FORMAT);
    static const char *const labels[] = {",", "a,", "a,a", "a:b", "__x", "a b"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        assert_int_equal(luna_metric("t_bad", "", LUNA_COUNTER, labels[i], NULL, 0, 1),
                         LUNA_E_FORMAT);
    assert_int_equal(luna_metric("t_bad", "", LUNA_HISTOGRAM, "le", falling, 0, 1), LUNA_E_FORMAT);
    assert_int_equal(luna_metric("t_bad", "", LUNA_HISTOGRAM, "", falling, 2, 1), LUNA_E_FORMAT);
    assert_int_equal(luna_metric("t_bad", "", LUNA_HISTOGRAM, "", below, 2, 1), LUNA_E_FORMAT);
    assert_int_equal(luna_metric("t_bad", "", 4, "", NULL, 0, 1), LUNA_E_FORMAT);
}

static void values_must_fit_the_labels(void **state)
{
    (void)state;
    int f = luna_metric("t_values_total", "", LUNA_COUNTER, "a,b", NULL, 0, 1);
    int s = luna_series(f, "x\x1fy\x1f");
    assert_true(s > 0);
    assert_int_equal(luna_series(f, "x\x1fy\x1f"), s);
    assert_int_not_equal(luna_series(f, "x\x1fz\x1f"), s);
    assert_int_equal(luna_series(f, "x\x1f"), LUNA_E_FORMAT);
    assert_int_equal(luna_series(f, "x\x1fy"), LUNA_E_FORMAT);
    assert_int_equal(luna_series(f, "x\x1fy\x1fz\x1f"), LUNA_E_FORMAT);
    assert_int_equal(luna_series(-1, ""), LUNA_E_FORMAT);
    assert_int_equal(luna_series(1 << 20, ""), LUNA_E_FORMAT);
    char longest[LUNA_LABEL_VALUE_MAX + 4];
    memset(longest, 'v', LUNA_LABEL_VALUE_MAX);
    strcpy(longest + LUNA_LABEL_VALUE_MAX, "\x1f\x1f");
    assert_true(luna_series(f, longest) > 0);
    strcpy(longest + LUNA_LABEL_VALUE_MAX, "v\x1f\x1f");
    assert_int_equal(luna_series(f, longest), LUNA_E_SPACE);
}

static void counters_of_all_pages_add_up(void **state)
{
    (void)state;
    uint64_t *a = luna_metrics_page_new(1), *b = luna_metrics_page_new(1);
    uint64_t *scratch = luna_metrics_page_new(0);
    int f = luna_metric("t_sum_total", "A \\ and\nmore.", LUNA_COUNTER, "zone", NULL, 0, 1);
    int s = luna_series(f, ".\x1f");
    assert_page_lacks("t_sum_total");
    a[s] += 3;
    b[s] += 4;
    scratch[s] += 100;
    luna_counter_add(s, 10);
    assert_page_has("# HELP t_sum_total A \\\\ and\\nmore.\n# TYPE t_sum_total counter\n"
                    "t_sum_total{zone=\".\"} 17\n");
    luna_metrics_page_free(b); /* a worker has ended: totals never go back */
    assert_page_has("t_sum_total{zone=\".\"} 17\n");
    a[s] += 1;
    assert_page_has("t_sum_total{zone=\".\"} 18\n");
    luna_metrics_page_free(a);
    luna_metrics_page_free(scratch);
}

static void without_labels_a_family_shows_at_once(void **state)
{
    (void)state;
    luna_metric("t_plain_total", "Plain.", LUNA_COUNTER, "", NULL, 0, 1);
    assert_page_has("# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 0\n");
}

static void gauges_are_set_or_summed_and_stay(void **state)
{
    (void)state;
    uint64_t *a = luna_metrics_page_new(1), *b = luna_metrics_page_new(1);
    int f = luna_metric("t_gauge", "", LUNA_GAUGE, "k", NULL, 0, 1);
    int set = luna_series(f, "set\x1f"), summed = luna_series(f, "summed\x1f");
    assert_page_lacks("t_gauge");
    luna_gauge_set(set, 0);
    assert_page_has("t_gauge{k=\"set\"} 0\n");
    luna_gauge_set(set, -1.5);
    assert_page_has("t_gauge{k=\"set\"} -1.5\n");
    a[summed] += 5;
    b[summed] -= 7;
    assert_page_has("t_gauge{k=\"summed\"} -2\n");
    b[summed] += 2;
    assert_page_has("t_gauge{k=\"summed\"} 0\n");
    luna_metrics_page_free(a);
    luna_metrics_page_free(b);
}

static void a_histogram_counts_up_to_and_with_its_bounds(void **state)
{
    (void)state;
    const double buckets[] = {0.00025, 0.0005, 1.024};
    uint64_t *page = luna_metrics_page_new(1);
    int f = luna_metric("t_seconds", "Time.", LUNA_HISTOGRAM, "server", buckets, 3, 1e-9);
    int s = luna_series(f, "x\x1f");
    assert_page_lacks("t_seconds");
    luna_observe(page, s, 0);
    luna_observe(page, s, 250000);
    luna_observe(page, s, 250001);
    luna_observe(page, s, 1024000000);
    luna_observe(page, s, 1024000001);
    assert_page_has("# HELP t_seconds Time.\n# TYPE t_seconds histogram\n"
                    "t_seconds_bucket{server=\"x\",le=\"0.00025\"} 2\n"
                    "t_seconds_bucket{server=\"x\",le=\"0.0005\"} 3\n"
                    "t_seconds_bucket{server=\"x\",le=\"1.024\"} 4\n"
                    "t_seconds_bucket{server=\"x\",le=\"+Inf\"} 5\n"
                    "t_seconds_sum{server=\"x\"} 2.048500002\n"
                    "t_seconds_count{server=\"x\"} 5\n");
    luna_metrics_page_free(page);
}

/* Every bound and its neighbours, against a plain search, for any number of buckets. */
static void every_value_finds_its_bucket(void **state)
{
    (void)state;
    double buckets[LUNA_METRIC_BUCKETS_MAX];
    uint64_t *page = luna_metrics_page_new(0);
    for (int n = 0; n <= 20; n++) {
        char name[32];
        sprintf(name, "t_find_%d", n);
        for (int i = 0; i < n; i++)
            buckets[i] = i * 10;
        int s = luna_series(luna_metric(name, "", LUNA_HISTOGRAM, "", buckets, n, 1), "");
        for (uint64_t value = 0; value <= (uint64_t)n * 10 + 2; value++) {
            int expected = 0;
            while (expected < n && value > (uint64_t)expected * 10)
                expected++;
            uint64_t before = page[s + expected];
            luna_observe(page, s, value);
            if (page[s + expected] != before + 1)
                fail_msg("%d buckets: %d is not counted in number %d", n, (int)value, expected);
        }
    }
    luna_metrics_page_free(page);
}

static void labels_are_sorted_and_escaped(void **state)
{
    (void)state;
    int f = luna_metric("t_labels_total", "", LUNA_COUNTER, "zone,server,a", NULL, 0, 1);
    luna_counter_add(luna_series(f, "z\x1fs2\x1f\xc3\xa4\xff\xc3\x1f"), 1);
    luna_counter_add(luna_series(f, "z\x1fs1\x1f\xc3\xa4\xff\xc3\x1f"), 1);
    luna_counter_add(luna_series(f, "\\\"\n\x1f\x1f"
                                    "a\x1f"),
                     1);
    assert_page_has("t_labels_total{a=\"a\",server=\"\",zone=\"\\\\\\\"\\n\"} 1\n"
                    "t_labels_total{a=\"\xc3\xa4??\",server=\"s1\",zone=\"z\"} 1\n"
                    "t_labels_total{a=\"\xc3\xa4??\",server=\"s2\",zone=\"z\"} 1\n");
}

static void families_are_sorted_and_the_process_is_there(void **state)
{
    (void)state;
    luna_metric("t_z", "", LUNA_GAUGE, "", NULL, 0, 1);
    luna_metric("t_a", "", LUNA_GAUGE, "", NULL, 0, 1);
    char *text = scrape(), last[256] = "";
    for (char *at = text; (at = strstr(at, "# TYPE ")) != NULL; at++) {
        char name[256];
        assert_int_equal(sscanf(at, "# TYPE %255s", name), 1);
        assert_true(strcmp(last, name) < 0);
        strcpy(last, name);
    }
    double start = 0, fds = 0, resident = 0, cpu = -1;
    const char *at = strstr(text, "\nprocess_start_time_seconds ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, " process_start_time_seconds %lf", &start), 1);
    assert_true(start > (double)time(NULL) - 600 && start < (double)time(NULL) + 2);
    assert_int_equal(sscanf(strstr(text, "\nprocess_open_fds "), " process_open_fds %lf", &fds), 1);
    assert_true(fds >= 1 && fds < 1000);
    at = strstr(text, "\nprocess_resident_memory_bytes ");
    assert_int_equal(sscanf(at, " process_resident_memory_bytes %lf", &resident), 1);
    assert_true(resident > 100000);
    at = strstr(text, "\nprocess_cpu_seconds_total ");
    assert_int_equal(sscanf(at, " process_cpu_seconds_total %lf", &cpu), 1);
    assert_true(cpu >= 0);
    assert_non_null(strstr(text, "# TYPE process_cpu_seconds_total counter\n"));
    assert_non_null(strstr(text, "\nprocess_max_fds "));
    assert_non_null(strstr(text, "\nprocess_virtual_memory_bytes "));
    assert_non_null(strstr(text, "\nprocess_virtual_memory_max_bytes "));
    free(text);
}

static void a_series_moves_to_other_values(void **state)
{
    (void)state;
    int f = luna_metric("test_moved", "h", LUNA_GAUGE, "hash,kind", NULL, 0, 1);
    int kept = luna_series(f, "m\x1fk\x1f"), moved = luna_series(f, "a\x1fk\x1f");
    luna_gauge_set(kept, 2);
    luna_gauge_set(moved, 1);
    for (const char *to = "zbnaz"; *to; to++) {
        char values[] = "?\x1fk\x1f", line[64];
        size_t len;
        values[0] = *to;
        assert_int_equal(luna_series_move(f, moved, values), 0);
        char *text = luna_metrics_text(&len);
        snprintf(line, sizeof line, "test_moved{hash=\"%c\",kind=\"k\"} 1\n", *to);
        assert_non_null(strstr(text, line));
        char *first = strstr(text, "test_moved{");
        int shown = 0;
        for (char *p = first; p; p = strstr(p + 1, "test_moved{"))
            shown++;
        assert_int_equal(shown, 2);
        assert_non_null(strstr(text, "test_moved{hash=\"m\",kind=\"k\"} 2\n"));
        free(text);
        assert_int_equal(luna_series(f, values), moved);
    }
    assert_int_equal(luna_series_move(f, moved, "z\x1fk\x1f"), 0);
    assert_int_equal(luna_series_move(f, 99999, "q\x1fk\x1f"), LUNA_E_FORMAT);
    assert_int_equal(luna_series_move(f, moved, "q"), LUNA_E_FORMAT);
}

static void numbers_look_as_in_go(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1"},
        {0.00025, "0.00025"},
        {1.024, "1.024"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100000, "100000"},
        {123456, "123456"},
        {1e6, "1e+06"},
        {1234567, "1.234567e+06"},
        {12345678.5, "1.23456785e+07"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {1.5e21, "1.5e+21"},
        {-2.5, "-2.5"},
        {18446744073709551615.0, "1.8446744073709552e+19"},
        {1.0 / 0.0, "+Inf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[40];
        int len = luna_text_double(text, cases[i].value);
        text[len] = 0;
        assert_string_equal(text, cases[i].text);
    }
}

static uint64_t *load_pages[4];
static int load_counter, load_histogram;

static void *load(void *arg)
{
    uint64_t *page = arg;
    for (int i = 0; i < 20000; i++) {
        luna_observe(page, load_histogram, (uint64_t)i);
        luna_counter_add(load_counter, 1);
        if (i % 1000 == 0) {
            char values[32];
            sprintf(values, "%d\x1f", i);
            int f = luna_metric("t_load_new_total", "", LUNA_COUNTER, "i", NULL, 0, 1);
            luna_counter_add(luna_series(f, values), 1);
        }
    }
    return NULL;
}

static void four_workers_count_while_the_page_is_read(void **state)
{
    (void)state;
    const double buckets[] = {10, 100, 1000};
    load_counter = luna_series(luna_metric("t_load_total", "", LUNA_COUNTER, "", NULL, 0, 1), "");
    load_histogram =
        luna_series(luna_metric("t_load_size", "", LUNA_HISTOGRAM, "", buckets, 3, 1), "");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        load_pages[i] = luna_metrics_page_new(1);
        pthread_create(&threads[i], NULL, load, load_pages[i]);
    }
    for (int i = 0; i < 30; i++)
        free(scrape());
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        luna_metrics_page_free(load_pages[i]);
    }
    assert_page_has("t_load_total 80000\n");
    assert_page_has("t_load_size_bucket{le=\"100\"} 404\n");
    assert_page_has("t_load_size_count 80000\n");
    assert_page_has("t_load_new_total{i=\"19000\"} 4\n");
}

/* The last test: it uses the slots up. */
static void full_slots_are_an_error_and_said_once(void **state)
{
    (void)state;
    luna_log_capture(1);
    int f = luna_metric("t_full_total", "", LUNA_COUNTER, "i", NULL, 0, 1), s = 0, last = 0;
    for (int i = 0; i < LUNA_METRIC_SLOTS && s >= 0; i++) {
        char values[32];
        sprintf(values, "%d\x1f", i);
        s = luna_series(f, values);
        last = s > last ? s : last;
    }
    assert_int_equal(s, LUNA_E_SPACE);
    assert_int_equal(last, LUNA_METRIC_SLOTS - 1);
    assert_int_equal(luna_series(f, "more\x1f"), LUNA_E_SPACE);
    assert_true(luna_series(f, "0\x1f") > 0);
    assert_int_equal(luna_metric("t_late_total", "", LUNA_COUNTER, "", NULL, 0, 1), LUNA_E_SPACE);
    char text[1024];
    luna_log_take(text, sizeof text);
    luna_log_capture(0);
    assert_string_equal(text, "[ERROR] metrics: no room for one more series (first: one of "
                              "t_full_total); new label values are not counted from now on\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_declaration_is_found_again_and_must_agree),
        cmocka_unit_test(bad_declarations_are_refused),
        cmocka_unit_test(values_must_fit_the_labels),
        cmocka_unit_test(counters_of_all_pages_add_up),
        cmocka_unit_test(without_labels_a_family_shows_at_once),
        cmocka_unit_test(gauges_are_set_or_summed_and_stay),
        cmocka_unit_test(a_histogram_counts_up_to_and_with_its_bounds),
        cmocka_unit_test(every_value_finds_its_bucket),
        cmocka_unit_test(labels_are_sorted_and_escaped),
        cmocka_unit_test(families_are_sorted_and_the_process_is_there),
        cmocka_unit_test(a_series_moves_to_other_values),
        cmocka_unit_test(numbers_look_as_in_go),
        cmocka_unit_test(four_workers_count_while_the_page_is_read),
        cmocka_unit_test(full_slots_are_an_error_and_said_once),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
